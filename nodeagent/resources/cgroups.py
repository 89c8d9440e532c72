"""Ending everything of a group at once through the kernel, without systemd or D-Bus.

Uses cgroup.kill of the unified hierarchy (Linux 5.14, admin-guide/cgroup-v2),
at /sys/fs/cgroup or, on hybrid hosts, /sys/fs/cgroup/unified.
"""

from __future__ import annotations

import time
from pathlib import Path

from appliance.cluster.names import GroupName, Seconds

_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


def group_slice(group: GroupName) -> str:
    """The slice in which every engine unit of the group runs."""
    return f"posthouse-{group}.slice"


def group_cgroup(group: GroupName) -> Path | None:
    """The slice's folder in the unified hierarchy; None when nothing of the group ever ran."""
    for root in _ROOTS:
        if (root / "cgroup.procs").exists():
            folder = root / "posthouse.slice" / group_slice(group)
            return folder if folder.is_dir() else None
    return None


def kill_group(group: GroupName, deadline: Seconds) -> bool:
    """SIGKILL every process of the group; return whether it is empty within `deadline` seconds."""
    folder = group_cgroup(group)
    if folder is None:
        return True
    until = time.monotonic() + deadline
    while True:
        (folder / "cgroup.kill").write_text("1")
        if "populated 0" in (folder / "cgroup.events").read_text():
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
