"""Bringing a held mailbox to rest: its sessions end, deliveries under way finish, nobody has a file of it open.

Dovecot says itself who is there: sessions, and deliveries from RCPT on (lmtp_user_concurrency_limit has them counted).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance import paths
from appliance.cluster.names import EngineName, GroupName, InstanceId, Seconds
from appliance.directory.model import Mailbox
from appliance.errors import PosthouseError, Unavailable

_DOVECOT: Final = EngineName("dovecot")
_COMMAND: Final = Seconds(10.0)
_POLL: Final = 0.1
#: Between the answer about a user and the delivery being counted lies a moment: so long it must be quiet.
_QUIET: Final = Seconds(0.5)
#: doveadm(1): EX_TEMPFAIL, the user is there but not now; EX_NOUSER.
_NOT_NOW: Final = 75


def doveadm(group: GroupName, *words: str, accept: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Run doveadm on the group's Dovecot. Raises Unavailable."""
    config = paths.config(InstanceId(_DOVECOT, group)) / "dovecot.conf"
    try:
        done = subprocess.run(
            ["doveadm", "-c", str(config), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_COMMAND,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable("program-failed", program="doveadm", detail=str(error)) from error
    if done.returncode not in accept:
        raise Unavailable("program-failed", program="doveadm", detail=done.stderr.strip()[-300:])
    return done


def forget(group: GroupName, mailbox: Mailbox) -> None:
    """Have the group's Dovecot ask the directory anew about the mailbox. Raises Unavailable."""
    doveadm(group, "auth", "cache", "flush", mailbox.address, *mailbox.logins)


def await_held(mailbox: Mailbox, patience: Seconds) -> None:
    """Wait until the mailbox's Dovecot lets nobody in; raise Unavailable when that takes longer than `patience`."""
    group = GroupName(mailbox.group)

    def held() -> bool:
        forget(group, mailbox)
        return doveadm(group, "user", mailbox.address, accept=(0, 67, _NOT_NOW)).returncode == _NOT_NOW

    _until(held, patience, mailbox)


def await_served(group: GroupName, mailbox: Mailbox, patience: Seconds) -> None:
    """Wait until the group's Dovecot knows the mailbox as its own; raise Unavailable."""

    def served() -> bool:
        forget(group, mailbox)
        return doveadm(group, "user", mailbox.address, accept=(0, 67, _NOT_NOW)).returncode == 0

    _until(served, patience, mailbox)


def await_rest(mailbox: Mailbox, home: Path, patience: Seconds) -> None:
    """End the held mailbox's sessions and wait until nobody is at it; raise Unavailable after `patience`."""
    quiet_since: float | None = None

    def rests() -> bool:
        nonlocal quiet_since
        there = _connected(mailbox)
        for process in {process for service, process in there if service != "lmtp"}:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        if there or _open_files(home):
            quiet_since = None
            return False
        quiet_since = quiet_since or time.monotonic()
        return time.monotonic() - quiet_since >= _QUIET

    _until(rests, patience, mailbox)


def _until(reached: Callable[[], bool], patience: Seconds, mailbox: Mailbox) -> None:
    until = time.monotonic() + patience
    while not reached():
        if time.monotonic() >= until:
            raise Unavailable("move-no-rest", address=mailbox.address)
        time.sleep(_POLL)


def _connected(mailbox: Mailbox) -> list[tuple[str, int]]:
    """Service and process of each session and delivery."""
    return sessions(doveadm(GroupName(mailbox.group), "-f", "tab", "who", "-1", mailbox.address).stdout.splitlines())


def sessions(lines: Iterable[str]) -> list[tuple[str, int]]:
    """Service and process in the output of `doveadm -f tab who -1`. Pure."""
    rows = [line.split("\t") for line in lines]
    if not rows:
        return []
    heading = rows[0]
    at = {name: heading.index(name) for name in ("proto", "pid") if name in heading}
    if len(at) != 2:  # noqa: PLR2004 - both
        raise PosthouseError("program-failed", program="doveadm who", detail="\t".join(heading))
    return [(row[at["proto"]], int(row[at["pid"]])) for row in rows[1:]]


def _open_files(home: Path) -> bool:
    """Whether any process has a file of the home open, by whatever mount it sees it."""
    part = f"/{home.parent.name}/{home.name}"
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with suppress(OSError):
            for handle in (process / "fd").iterdir():
                with suppress(OSError):
                    if part in str(handle.readlink()):
                        return True
    return False
