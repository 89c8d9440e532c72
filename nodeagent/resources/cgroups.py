"""Ending everything of a group at once through the kernel, without systemd or D-Bus.

Uses cgroup.kill of the unified hierarchy (Linux 5.14, admin-guide/cgroup-v2),
at /sys/fs/cgroup or, on hybrid hosts, /sys/fs/cgroup/unified.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from appliance.cluster.names import GroupName, Seconds

_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


def group_slice(group: GroupName) -> str:
    """The slice in which every engine unit of the group runs."""
    return f"posthouse-{group}.slice"


def work_prefix(group: GroupName) -> str:
    """How the names of the units begin in which scheduled work of the group runs."""
    return f"posthouse-work-{group}:"


def work_units(group: GroupName) -> list[str]:
    """The units in which scheduled work of the group runs now."""
    with suppress(OSError):
        folders = (_parent() / group_slice(group)).iterdir()
        return sorted(folder.name for folder in folders if folder.name.startswith(work_prefix(group)))
    return []


def group_cgroup(group: GroupName) -> Path | None:
    """The slice's folder in the unified hierarchy; None when nothing of the group ever ran."""
    folder = _parent() / group_slice(group)
    return folder if folder.is_dir() else None


def populated_groups() -> frozenset[GroupName]:
    """The groups of which a process lives, held or not."""
    found = set()
    for folder in _parent().glob(group_slice(GroupName("*"))):
        name = folder.name.removeprefix("posthouse-").removesuffix(".slice")
        with suppress(OSError):  # it may end while we look
            if _is_populated(folder):
                found.add(GroupName(name))
    return frozenset(found)


def processes(group: GroupName, unit: str) -> frozenset[str]:
    """The names of the programs that run in a unit of the group (/proc/PID/comm, 15 characters)."""
    names = set()
    with suppress(OSError):  # the unit's folder goes with its last process
        for pid in (_parent() / group_slice(group) / unit / "cgroup.procs").read_text().split():
            with suppress(OSError):
                names.add(Path(f"/proc/{pid}/comm").read_text().strip())
    return frozenset(names)


def kill_group(group: GroupName, deadline: Seconds) -> bool:
    """SIGKILL every process of the group; return whether it is empty within `deadline` seconds."""
    folder = group_cgroup(group)
    if folder is None:
        return True
    until = time.monotonic() + deadline
    try:
        while True:
            (folder / "cgroup.kill").write_text("1")
            if not _is_populated(folder):
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
    except OSError:
        if folder.is_dir():
            raise
        return True  # systemd has removed the empty slice meanwhile


def _parent() -> Path:
    """The slice of everything that Posthouse runs."""
    root = next((root for root in _ROOTS if (root / "cgroup.procs").exists()), _ROOTS[0])
    return root / "posthouse.slice"


def _is_populated(folder: Path) -> bool:
    return "populated 1" in (folder / "cgroup.events").read_text()
