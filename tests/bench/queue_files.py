"""A hundred thousand deferred messages in a moment: copies of one queue file under names that Postfix accepts.

A long queue identifier (enable_long_queue_ids, postconf(5)) is seconds and microseconds
in base 52, then z and the file's inode in base 51; the subfolder is the first digit of
the microseconds in base 16. postsuper(1) and qmgr(8) take such copies for their own.
"""

from __future__ import annotations

import os
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
        for number in range(count):
            seconds, microseconds = int(now) - 3600, number * 9 % 1_000_000
            folder = subfolder(microseconds)
            draft = self._write(spool / "deferred" / folder, self.message, 0o700)
            name = queue_id(seconds, microseconds, draft.stat().st_ino)
            due = now + due_within * (number + 1) / count
            os.utime(draft, (due, due))
            draft.rename(draft.with_name(name))
            if self.reasons:
                reasons = self._write(spool / "defer" / folder, self.reasons, 0o600)
                reasons.rename(reasons.with_name(name))

    def _write(self, folder: Path, data: bytes, mode: int) -> Path:
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            os.chown(folder, self.owner, self.group)
        draft = folder / "draft"
        draft.write_bytes(data)
        os.chown(draft, self.owner, self.group)
        draft.chmod(mode)
        return draft
