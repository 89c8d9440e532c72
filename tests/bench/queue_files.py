"""A hundred thousand deferred messages in a moment: copies of one queue file under names that Postfix accepts.

A long queue identifier (enable_long_queue_ids, postconf(5)) is seconds and microseconds
in base 52, then z and the file's inode in base 51; the subfolder is the first digit of
the microseconds in base 16. postsuper(1) and qmgr(8) take such copies for their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ALPHABET: Final = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_SECONDS_BASE: Final = 52
_INODE_BASE: Final = 51


def _encode(number: int, base: int, width: int = 0) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, base)
        digits = _ALPHABET[digit] + digits
    return digits.rjust(width, "0")


def queue_id(seconds: int, microseconds: int, inode: int) -> str:
    """The long queue identifier of a file."""
    moment = _encode(seconds, _SECONDS_BASE, 6) + _encode(microseconds, _SECONDS_BASE, 4)
    return f"{moment}z{_encode(inode, _INODE_BASE)}"


def subfolder(microseconds: int) -> str:
    """Where a hashed queue keeps it (hash_queue_depth = 1)."""
    return f"{microseconds:05X}"[0]


@dataclass(frozen=True)
class Template:
    """A deferred message: its queue file and the log of why it was deferred."""

    message: bytes
    reasons: bytes
    owner: int
    group: int

    @classmethod
    def take(cls, spool: Path) -> Template:
        """The one deferred message of the queue."""
        path = next(path for path in (spool / "deferred").rglob("*") if path.is_file())
        reasons = spool / "defer" / path.parent.name / path.name
        facts = path.stat()
        return cls(path.read_bytes(), reasons.read_bytes() if reasons.exists() else b"", facts.st_uid, facts.st_gid)

    def multiply(self, spool: Path, count: int, now: float, due_within: float) -> None:
        """Write `count` copies, next attempts spread over `due_within` seconds from now. Postfix must not run."""
        queues = {queue: self._open_folders(spool / queue) for queue in ("deferred", "defer")}
        with _acting_as(self.owner, self.group):
            for number in range(count):
                seconds, microseconds = int(now) - 3600, number * 9 % 1_000_000
                digit = subfolder(microseconds)
                due = now + due_within * (number + 1) / count
                name = _write(queues["deferred"][digit], self.message, 0o700, due, (seconds, microseconds))
                _write(queues["defer"][digit], self.reasons, 0o600, due, name)
        for folders in queues.values():
            for descriptor in folders.values():
                os.close(descriptor)

    def _open_folders(self, queue: Path) -> dict[str, int]:
        """Descriptors of the sixteen subfolders of a queue, made where they are missing."""
        folders = {}
        for digit in "0123456789ABCDEF":
            folder = queue / digit
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                os.chown(folder, self.owner, self.group)
            folders[digit] = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        return folders


@contextmanager
def _acting_as(owner: int, group: int) -> Iterator[None]:
    """New files belong to `owner` and `group`: cheaper than giving them away one by one."""
    os.setegid(group)
    os.seteuid(owner)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _write(folder: int, data: bytes, mode: int, due: float, name: str | tuple[int, int]) -> str:
    """Write a file; a name given as seconds and microseconds becomes a queue identifier. Return the name."""
    descriptor = os.open("draft", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=folder)
    try:
        os.write(descriptor, data)
        os.utime(descriptor, (due, due))
        if isinstance(name, tuple):
            name = queue_id(*name, os.fstat(descriptor).st_ino)
    finally:
        os.close(descriptor)
    os.rename("draft", name, src_dir_fd=folder, dst_dir_fd=folder)
    return name
