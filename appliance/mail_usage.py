"""How much of their space mailboxes use, as Dovecot counts it for the quota (doveadm-quota(1))."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from appliance import paths
from appliance.cluster.names import EngineName, GroupName, InstanceId, Seconds
from appliance.directory.model import Mailbox
from appliance.errors import Unavailable
from appliance.operations.where import not_here

_DOVECOT = EngineName("dovecot")
_DEADLINE = Seconds(600.0)


@dataclass(frozen=True)
class Usage:
    """What one mailbox uses. `used` in bytes (full KiB where there is a quota); `quota` in bytes, 0 without limit.

    None: Dovecot could not tell.
    """

    address: str
    used: int | None
    messages: int | None
    quota: int

    @property
    def percent(self) -> int | None:
        """Used of the quota, in per cent; None without a quota."""
        return self.used * 100 // self.quota if self.quota and self.used is not None else None


def usage(mailboxes: Sequence[Mailbox]) -> Iterator[Usage]:
    """The usage of these mailboxes, in their order. Raises Unavailable when one's group is not on this node."""
    counted: dict[str, Counted] = {}
    for group in dict.fromkeys(GroupName(each.group) for each in mailboxes):
        mine = [each for each in mailboxes if each.group == group]
        counted |= quota_rows(_ask(group, [each.address for each in mine if each.quota], "quota", "get"))
        counted |= sum_rows(_ask(group, [each.address for each in mine if not each.quota], *_STATUS))
    for each in mailboxes:
        used, messages = counted.get(each.address, (None, None))
        yield Usage(each.address, used, messages, each.quota)


def recount(mailbox: Mailbox) -> None:
    """Count what the mailbox holds anew, after files were put there behind Dovecot's back. Raises Unavailable."""
    if mailbox.quota:
        _ask(GroupName(mailbox.group), [mailbox.address], "quota", "recalc")


#: Without a quota nothing is counted; the folders' own sums stand for it.
_STATUS = ("mailbox", "status", "-t", "vsize messages", "*")

Counted = tuple[int | None, int | None]


def quota_rows(lines: Sequence[str]) -> Mapping[str, Counted]:
    """Bytes and messages by address, from `doveadm -f tab quota get -F …`. Pure."""
    found: dict[str, dict[str, int]] = {}
    for line in lines[1:]:
        address, _, kind, value, *_ = line.split("\t")
        if value.isdecimal():
            found.setdefault(address, {})[kind] = int(value) * (1024 if kind == "STORAGE" else 1)
    return {address: (row.get("STORAGE"), row.get("MESSAGE")) for address, row in found.items()}


def sum_rows(lines: Sequence[str]) -> Mapping[str, Counted]:
    """Bytes and messages by address, from `doveadm -f tab mailbox status -t -F …`. Pure."""
    names = lines[0].split("\t") if lines else []
    rows = [dict(zip(names, line.split("\t"), strict=False)) for line in lines[1:]]
    return {row["Username"]: (int(row["vsize"]), int(row["messages"])) for row in rows}


def _ask(group: GroupName, addresses: Sequence[str], *command: str) -> list[str]:
    """One doveadm for all these mailboxes; the lines it printed. Raises Unavailable."""
    if not addresses:
        return []
    if not paths.owned_marker(group).exists():
        raise not_here("usage-not-here", group)
    config = paths.config(InstanceId(_DOVECOT, group)) / "dovecot.conf"
    at = 2 if command[0] == "mailbox" else len(command)
    # doveadm reads the list by position: a pipe will not do
    with tempfile.NamedTemporaryFile("w", prefix="posthouse-", suffix=".list") as users:
        users.writelines(f"{each}\n" for each in addresses)
        users.flush()
        words = ["doveadm", "-c", str(config), "-f", "tab", *command[:at], "-F", users.name, *command[at:]]
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DEADLINE, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable("usage-failed", detail=f"> {_DEADLINE:.0f} s") from error
    lines = done.stdout.splitlines()
    # one mailbox that is gone meanwhile must not hide the others
    if done.returncode and len(lines) < 2:  # noqa: PLR2004 - a heading alone
        raise Unavailable("usage-failed", detail=done.stderr.strip()[-300:])
    return lines
