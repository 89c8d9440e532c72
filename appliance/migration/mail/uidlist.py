"""Dovecot's `dovecot-uidlist`: which message of a Maildir folder has which UID.

Read from a source so that UIDs, and with them IMAP caches and POP3 UIDLs of clients,
stay; written for staged folders. Form: version 3 `3 V<uidvalidity> N<next uid> G<folder's
GUID>`, then `<uid> [<letter><extension> ...] :<file name>`; version 1 `1 <uidvalidity>
<next uid>`, then `<uid> <file name>`.
https://doc.dovecot.org/2.3/admin_manual/mailbox_formats/maildir/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_MAX = 2**32
_HEAD_1 = re.compile(rb"1 (?P<validity>\d{1,10}) \d{1,10}")
_VALIDITY = re.compile(rb" V(\d{1,10})(?: |$)")
_LINE_3 = re.compile(rb"(?P<uid>\d{1,10})(?: [A-Z][^ ]*)* :(?P<name>[^/]+)")
_LINE_1 = re.compile(rb"(?P<uid>\d{1,10}) (?P<name>[^/]+)")


@dataclass(frozen=True)
class UidList:
    """UIDs by the base of the file name (what stands before the flags)."""

    validity: int
    uids: Mapping[bytes, int]


@dataclass(frozen=True)
class Line:
    """A message of a list that is to be written."""

    uid: int
    guid: str
    base: bytes


def parse(data: bytes) -> UidList | None:
    """The list, or None when it is not one, or contradicts itself (then UIDs are given anew)."""
    lines = data.split(b"\n")
    head, first = lines[0], lines[0][:2]
    found = _HEAD_1.fullmatch(head) if first == b"1 " else _VALIDITY.search(head) if first == b"3 " else None
    if found is None or not 0 < int(found[1]) < _MAX:
        return None
    form = _LINE_1 if first == b"1 " else _LINE_3
    uids: dict[bytes, int] = {}
    last = 0
    for line in lines[1:]:
        match = form.fullmatch(line)
        if match is None:
            continue
        uid = int(match["uid"])
        if not last < uid < _MAX:
            return None
        last = uid
        uids[match["name"].partition(b":")[0]] = uid
    return UidList(int(found[1]), uids)


def write(validity: int, folder_guid: str, lines: Iterable[Line]) -> bytes:
    """A list of version 3; `lines` by ascending uid."""
    body = [b"%d G%s :%s\n" % (line.uid, line.guid.encode("ascii"), line.base) for line in lines]
    highest = int(body[-1].partition(b" ")[0]) if body else 0
    return b"3 V%d N%d G%s\n" % (validity, highest + 1, folder_guid.encode("ascii")) + b"".join(body)
