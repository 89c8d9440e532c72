"""What is mounted where (proc(5), mountinfo), mounting by mount(8), and unmounting that is never lazy."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: A thread may have a mount namespace of its own (unshare(2)).
MOUNTINFO = Path("/proc/thread-self/mountinfo")
_AGAIN = 0.02
_MOST_NAMED = 5
_READ_ONLY = frozenset({"ro", "emergency_ro"})
#: umount2(2)
_FORCE = 1
_NOFOLLOW = 8
_OCTAL = re.compile(r"\\([0-7]{3})")
#: id, parent, device, root, target, options, [optional…], "-", type, source, super options
_LEAST_FIELDS = 6


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo. `device` is MAJOR:MINOR; `options` are those of the mount and of its file system."""

    device: str
    target: Path
    kind: str
    source: str
    options: frozenset[str]

    @property
    def read_only(self) -> bool:
        """Whether mount or file system takes no writes; ext4 says emergency_ro after an error since Linux 6.15."""
        return not self.options.isdisjoint(_READ_ONLY)


def parse(text: str) -> tuple[Mount, ...]:
    """Read mountinfo, in its order; lines of an unknown form are left out."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if dash and len(fields) >= _LEAST_FIELDS and len(rest) >= 3:  # noqa: PLR2004 - type, source, options
            options = frozenset(fields[5].split(",")) | frozenset(rest[2].split(","))
            found.append(Mount(fields[2], Path(_plain(fields[4])), rest[0], _plain(rest[1]), options))
    return tuple(found)


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def read() -> tuple[Mount, ...]:
    """Every mount of this process's mount namespace."""
    return parse(MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape"))


def mounted_at(target: Path) -> Mount | None:
    """The uppermost mount at exactly this path."""
    return next((each for each in reversed(read()) if each.target == target), None)


def mounted_below(folder: Path) -> tuple[Path, ...]:
    """Every mount point below the folder, in the order in which they can be unmounted."""
    return tuple(each.target for each in reversed(read()) if folder in each.target.parents)


def unmount(target: Path, *, force: bool, patience: float) -> bool:
    """Unmount the uppermost mount at the path; return whether that went well within `patience` seconds.

    False: it is still busy. True also when nothing was mounted. Raises OSError for anything else.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _NOFOLLOW | (_FORCE if force else 0)
    until = time.monotonic() + patience
    while libc.umount2(os.fsencode(target), flags):
        error = ctypes.get_errno()
        if error in {errno.EINVAL, errno.ENOENT}:
            return True
        if error not in {errno.EBUSY, errno.EAGAIN}:
            raise OSError(error, os.strerror(error), str(target))
        if time.monotonic() >= until:
            return False
        time.sleep(_AGAIN)
    return True


def users(target: Path) -> str:
    """What keeps a mount busy: processes with open files there, as `NAME (PID)`, and mounts below it.

    Reads /proc only, so a file system that hangs does not hang this. Without CAP_SYS_PTRACE it sees less.
    """
    found = [f"{_name(process)} ({process.name})" for process in _processes() if _uses(process, target)]
    return _listed([*found, *map(str, mounted_below(target))])


def keepers(device: str, source: str | None = None) -> str:
    """Where a file system (MAJOR:MINOR) is mounted: in this mount namespace, or else the processes in others.

    `source`: only mounts of it count; several exports of a server may share one file system.
    """

    def has(mount: Mount) -> bool:
        return mount.device == device and source in {None, mount.source}

    here = [str(each.target) for each in read() if has(each)]
    there = (process for process in _processes() if any(map(has, parse(_text(process / "mountinfo")))))
    return _listed(here or [f"{_name(process)} ({process.name})" for process in there])


def _listed(found: list[str]) -> str:
    """As many as a person reads."""
    return ", ".join(found[:_MOST_NAMED] + ["…"] * (len(found) > _MOST_NAMED))


def _processes() -> list[Path]:
    return sorted(Path("/proc").glob("[1-9]*"), key=lambda each: int(each.name))


def _name(process: Path) -> str:
    return _text(process / "comm").strip() or "?"


def _text(path: Path) -> str:
    """What the file says; nothing when its process has ended."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _links(process: Path) -> Iterable[Path]:
    yield from (process / "cwd", process / "root", process / "exe")
    try:
        yield from (process / "fd").iterdir()
    except OSError:
        return


def _uses(process: Path, target: Path) -> bool:
    for link in _links(process):
        try:
            path = Path(os.readlink(link))  # noqa: PTH115 - a link into nowhere is fine
        except OSError:
            continue
        if path == target or target in path.parents:
            return True
    return False
