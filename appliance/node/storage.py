"""Disks as they are mounted: space, inodes, options (H23).

A network file system whose server is gone blocks whoever asks it, so each is
asked in a thread of its own with a deadline, and shown as not answering.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

DEADLINE = 2.0

#: File systems that hold nothing on a disk.
_VIRTUAL = frozenset(
    {
        "autofs",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "ramfs",
        "securityfs",
        "squashfs",
        "sysfs",
        "tmpfs",
        "tracefs",
        "binfmt_misc",
        "rpc_pipefs",
        "efivarfs",
    }
)


@dataclass(frozen=True)
class Usage:
    """Bytes and inodes. `available` is what an unprivileged process can still take."""

    total: int
    used: int
    available: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True)
class FileSystem:
    """A mounted file system; `usage` is None when it does not answer."""

    device: str
    folder: str
    kind: str
    options: str
    usage: Usage | None = None


def file_systems() -> tuple[FileSystem, ...]:
    """Every mounted file system that stores something, in the order of their folders."""
    mounted = (
        FileSystem(part.device, part.mountpoint, part.fstype, part.opts) for part in psutil.disk_partitions(all=True)
    )
    return tuple(answered(worth_showing(mounted)))


def worth_showing(mounted: Iterable[FileSystem]) -> list[FileSystem]:
    """Leave out virtual file systems, containers' overlays, bind mounts of single files, and all but one mount of
    the same device."""
    best: dict[str, FileSystem] = {}
    for each in sorted(mounted, key=lambda found: (len(found.folder), found.folder)):
        if each.kind in _VIRTUAL or (each.kind == "overlay" and each.folder != "/"):
            continue
        if _is_remote(each) or not Path(each.folder).is_file():
            best.setdefault(each.device, each)
    return sorted(best.values(), key=lambda found: found.folder)


def _is_remote(each: FileSystem) -> bool:
    """Whether asking may block: only such are asked in threads alone."""
    return each.kind.startswith(("nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster"))


def answered(mounted: Iterable[FileSystem], deadline: float = DEADLINE) -> list[FileSystem]:
    """Ask every file system for its usage at the same time, for at most `deadline` seconds altogether."""
    waiting = list(mounted)
    usages: dict[str, Usage] = {}

    def ask(folder: str) -> None:
        try:
            usages[folder] = usage(folder)
        except OSError:
            return

    threads = [threading.Thread(target=ask, args=(each.folder,), daemon=True) for each in waiting]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + deadline
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return [replace(each, usage=usages.get(each.folder)) for each in waiting]


def usage(folder: str) -> Usage:
    """Space and inodes of the file system that holds `folder`; raises OSError."""
    found = os.statvfs(folder)
    return Usage(
        total=found.f_blocks * found.f_frsize,
        used=(found.f_blocks - found.f_bfree) * found.f_frsize,
        available=found.f_bavail * found.f_frsize,
        inodes=found.f_files,
        inodes_free=found.f_favail,
    )
