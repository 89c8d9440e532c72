"""Names of folders as they stand on disk, and as people see them.

A folder is the tuple of its parts, outermost first; the inbox is the empty tuple.
On disk a part is modified UTF-7 (RFC 3501, 5.1.3); in Maildir++ parts are joined by
dots, and Dovecot's listescape plugin writes what the layout cannot hold as `\\xx`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from imapclient import imap_utf7

Folder = tuple[str, ...]

INBOX: Folder = ()
SEPARATOR = "/"
_LOST = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ESCAPED = re.compile(r"\\([0-9a-fA-F]{2})")


def shown(folder: Folder) -> str:
    """The folder as IMAP names it here, in Unicode."""
    return SEPARATOR.join(folder) if folder else "INBOX"


def from_maildir(name: bytes, *, escaped: bool = False) -> Folder:
    """The folder of a Maildir++ folder's file name (`.Sent.2024`). `escaped`: by listescape."""
    return tuple(from_disk(part, escaped=escaped) for part in name.removeprefix(b".").split(b"."))


def to_maildir(folder: Folder) -> bytes:
    """The file name of a folder in a Maildir++ tree that Dovecot reads with listescape. Not for the inbox."""
    return b"".join(b"." + imap_utf7.encode(_escape(part)) for part in folder)


def from_disk(part: bytes, *, escaped: bool = False) -> str:
    """One part of a name, in Unicode: modified UTF-7 where it is that, else UTF-8, else GB18030, else Latin-1."""
    text = _decoded(part)
    if escaped:
        text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return _LOST.sub("_", text) or "_"


def _decoded(part: bytes) -> str:
    try:
        text = str(imap_utf7.decode(part))
        if imap_utf7.encode(text) == part:
            return text
    except (UnicodeError, ValueError):
        pass
    for encoding in ("utf-8", "gb18030"):
        try:
            return part.decode(encoding)
        except UnicodeDecodeError:
            continue
    return part.decode("latin-1")


def _escape(part: str) -> str:
    text = "".join(f"\\{ord(mark):02x}" if mark in "./\\" else mark for mark in part)
    return f"\\7e{text[1:]}" if text.startswith("~") else text


def unique(folder: Folder, taken: Iterable[Folder]) -> Folder:
    """`folder`, or with a number added when another of `taken` has its name; a folder INBOX is not the inbox."""
    others = set(taken)
    if len(folder) == 1 and folder[0].upper() == "INBOX":
        folder = (f"{folder[0]}~1",)
    number, candidate = 1, folder
    while candidate in others and candidate:
        number += 1
        candidate = (*folder[:-1], f"{folder[-1]}~{number}")
    return candidate


def matches(folder: Folder, patterns: Iterable[str]) -> bool:
    """Whether the folder is one of `patterns`, or stands below one; without regard to case."""
    name = shown(folder).lower()
    return any(name == each.lower() or name.startswith(each.lower() + SEPARATOR) for each in patterns)
