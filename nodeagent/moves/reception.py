"""The receiving side of a copy: rsync(1) in a unit of its own that sees one home and no other mail.

In the target group's slice, so that it ends with the group before the volume is unmounted. What the sender says is not
believed: the command is ours, the file system ends at the home, the account is that of all mail, there is no network.
"""

from __future__ import annotations

import shlex
import subprocess
from typing import Final

from appliance import paths
from appliance.cluster.names import GroupName, Seconds
from appliance.directory.model import home
from appliance.errors import PosthouseError, Unavailable
from appliance.mailbox_move import mirror
from nodeagent.moves.wire import Mode
from nodeagent.resources import cgroups

_START: Final = Seconds(20.0)
_DAY: Final = 86_400

#: systemd.exec(5), of both units.
_CONFINED: Final = (
    "User=vmail",
    "Group=vmail",
    "UMask=0077",
    "KillSignal=SIGKILL",
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "InaccessiblePaths=/etc/posthouse /var/lib/posthouse /run/posthouse",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateNetwork=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectClock=yes",
    "RestrictAddressFamilies=AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
    "LimitCORE=0",
    "MemoryHigh=512M",
)


def unit_of(group: GroupName, mailbox_id: str) -> str:
    """The unit that receives the mailbox. Pure."""
    return f"{cgroups.work_prefix(group)}receive-{mailbox_id}.service"


def command(group: GroupName, mailbox_id: str, mode: Mode) -> list[str]:
    """What receives, or compares, on its standard input and output. Pure."""
    place = paths.volume(group) / home(mailbox_id)
    rsync = shlex.join(mirror.RECEIVE if mode is Mode.COPY else mirror.COMPARE)
    # what stands in the home's folders, names included, is on disk before the sender hears how it went: also after
    # files were left out (mirror.py), all others are there
    line = f"{rsync}; status=$?; sync --file-system . && exit $status" if mode is Mode.COPY else f"exec {rsync}"
    return [
        *_unit(group, mailbox_id, f"TemporaryFileSystem=/srv:ro BindPaths={place} WorkingDirectory={place}".split()),
        *("/bin/sh", "-c", line),
    ]


def preparation(group: GroupName, mailbox_id: str) -> list[str]:
    """What makes the home's folder; a copy that was left behind here earlier is from now on none. Pure."""
    volume = paths.volume(group)
    place = volume / home(mailbox_id)
    return [
        *_unit(group, mailbox_id, [f"ReadWritePaths={volume / 'mailboxes'}"]),
        *("/bin/sh", "-c", f"mkdir --parents --mode=0700 {place} && exec rm --force {place / mirror.COMPLETE}"),
    ]


def _unit(group: GroupName, mailbox_id: str, more: list[str]) -> list[str]:
    properties = (
        f"ConditionPathExists={paths.owned_marker(group)}",
        f"RuntimeMaxSec={_DAY}",
        *_CONFINED,
        *more,
    )
    return [
        *("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--no-ask-password"),
        *("--unit", unit_of(group, mailbox_id), "--slice", cgroups.group_slice(group)),
        *("--description", f"Posthouse: a mailbox comes to group {group}"),
        *(f"--property={each}" for each in properties),
        "--",
    ]


def require_here(group: GroupName) -> None:
    """Raise Unavailable unless this node owns the group and its volume has mailboxes."""
    if not paths.owned_marker(group).exists() or not (paths.volume(group) / "mailboxes").is_dir():
        raise Unavailable("move-group-not-there", group=group)


def make_ready(group: GroupName, mailbox_id: str, mode: Mode) -> None:
    """End a reception of the mailbox that is still under way, and make its folder. Raises PosthouseError.

    A sender that was thought dead has nobody to speak to from now on.
    """
    end(group, mailbox_id)
    if mode is Mode.COPY:
        _run(preparation(group, mailbox_id))


def end(group: GroupName, mailbox_id: str) -> None:
    """End a reception, if there is one, and wait until it is over. Raises PosthouseError."""
    unit = unit_of(group, mailbox_id)
    if unit in cgroups.work_units(group):
        _run(["systemctl", "--no-ask-password", "stop", unit])


def _run(words: list[str]) -> None:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=_START,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PosthouseError("program-failed", program=words[0], detail=str(error)) from error
    if done.returncode != 0:
        raise PosthouseError("program-failed", program=words[0], detail=done.stderr.strip()[-300:])
