"""Picking what a mailbox has not got yet, one folder at a time, and putting it on the stage.

A staged message carries a GUID made of its folder, content and number among equal ones.
Whatever dies in between, the mailbox itself then tells what arrived, and the next run
goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.cluster.report import Notice
from appliance.migration.mail import names, uidlist
from appliance.migration.mail.here import FolderHere
from appliance.migration.mail.ledger import Fingerprint, Ledger
from appliance.migration.mail.maildir import Contents, Entry, MaildirFolder, Reader, Tree
from appliance.migration.mail.names import Folder
from appliance.migration.mail.stage import Fresh, Lane, Stage, Staged
from appliance.migration.mail.wire import Wire

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Part:
    """A folder to bring: its name here, and where it lies.

    `source` names where the tree is from, for what is remembered of its files; empty
    when their names will be others the next time. `link`: the files are our own and
    need not be copied.
    """

    folder: Folder
    tree: Tree
    place: MaildirFolder
    source: str
    link: bool = False


@dataclass(frozen=True)
class _Found:
    """A message of the source. `copy`: where it was copied to when it had to be read."""

    entry: Entry
    fingerprint: Fingerprint
    guid: str
    number: int
    copy: Path | None


#: Asks, after an interrupted delivery, for the digests of messages here that carry no GUID of ours.
Strays = Callable[[Folder, int, frozenset[str]], Counter[str]]


@dataclass(frozen=True)
class Mailbox:
    """What is known of the mailbox. `interrupted`: the first UIDs of a delivery that was cut short."""

    ledger: Ledger
    here: dict[str, FolderHere]
    interrupted: dict[Folder, int]
    strays: Strays


def guid(folder: Folder, digest: str, number: int) -> str:
    """The GUID of a message here: 128 bits, the same whenever and from wherever it is brought."""
    text = "\x1f".join(("posthouse", *folder)) + f"\x1e{digest}\x1e{number}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def parts_of(tree: Tree, source: str, *, link: bool = False) -> list[Part]:
    """All folders of a tree as parts."""
    return [Part(each.folder, tree, each, source, link) for each in tree.folders]


def stage_folder(part: Part, stage: Stage, mailbox: Mailbox) -> Staged:
    """Stage what is new of a folder. Raises OSError and Unavailable; files that cannot be read are told as problems."""
    with Reader(part.tree, part.place) as reader:
        return _Staging(part, stage, mailbox, reader).run()


class _Staging:
    """One folder being staged."""

    def __init__(self, part: Part, stage: Stage, mailbox: Mailbox, reader: Reader) -> None:
        self._part = part
        self._stage = stage
        self._mailbox = mailbox
        self._reader = reader
        self._staged = Staged(part.folder)
        self._known = mailbox.ledger.fingerprints(part.source, part.folder)

    def run(self) -> Staged:
        contents = self._reader.contents()
        self._staged.problems += contents.problems
        if not self._part.link:
            unread = sum(each.size for each in contents.entries if self._remembered(each) is None)
            # Once on the stage, once in the mailbox.
            self._stage.require_space(2 * unread)
        found = list(self._read_all(contents))
        self._staged.in_source = len(found)
        if self._part.source:
            seen = {each.entry.name.base: (each.entry.size, each.entry.arrived, each.fingerprint) for each in found}
            self._mailbox.ledger.remember(self._part.source, self._part.folder, seen)
        here = self._mailbox.here.get(names.shown(self._part.folder))
        missing = list(self._missing(found, here or FolderHere()))
        self._stage.require_space(sum(each.entry.size for each in missing))
        if here is None or missing:
            self._lay_out(missing, contents, virgin=here is None or here.untouched)
        return self._staged

    # -- reading -----------------------------------------------------------------------------------------------

    def _read_all(self, contents: Contents) -> Iterator[_Found]:
        numbers: Counter[str] = Counter()
        for entry in contents.entries:
            fingerprint, copy = self._remembered(entry), None
            if fingerprint is None:
                copy = None if self._part.link else self._stage.incoming()
                fingerprint = self._read(entry, copy)
            if fingerprint is not None:
                number = numbers[fingerprint.digest]
                numbers[fingerprint.digest] += 1
                yield _Found(entry, fingerprint, guid(self._part.folder, fingerprint.digest, number), number, copy)

    def _remembered(self, entry: Entry) -> Fingerprint | None:
        size, arrived, fingerprint = self._known.get(entry.name.base, (-1, -1, None))
        return fingerprint if (size, arrived) == (entry.size, entry.arrived) else None

    def _read(self, entry: Entry, copy: Path | None) -> Fingerprint | None:
        """Read a message through, into `copy` when given. None when it is gone or cannot be read."""
        try:
            return self._read_through(entry, copy)
        except OSError as error:
            if copy is not None:
                copy.unlink(missing_ok=True)
            if not isinstance(error, FileNotFoundError):
                self._staged.problems.append(_unreadable(entry, error))
            return None

    def _read_through(self, entry: Entry, copy: Path | None) -> Fingerprint:
        wire = Wire()
        with os.fdopen(self._reader.open(entry), "rb", buffering=0) as file:
            if copy is None:
                for chunk in iter(lambda: file.read(_CHUNK), b""):
                    wire.feed(chunk)
            else:
                with copy.open("xb", buffering=0) as target:
                    for chunk in iter(lambda: file.read(_CHUNK), b""):
                        wire.feed(chunk)
                        target.write(chunk)
        if wire.stored != entry.size:
            raise OSError(0, f"{wire.stored} bytes instead of {entry.size}")
        return Fingerprint(wire.digest, wire.size, wire.exact)

    # -- picking -----------------------------------------------------------------------------------------------

    def _missing(self, found: list[_Found], here: FolderHere) -> Iterator[_Found]:
        """Those that are not here; copies of the others are removed."""
        folder = self._part.folder
        brought = self._mailbox.ledger.copies(folder)
        strays: Counter[str] = Counter()
        if folder in self._mailbox.interrupted:
            ours = frozenset(each.guid for each in found)
            strays = self._mailbox.strays(folder, self._mailbox.interrupted[folder], ours)
        for each in found:
            digest = each.fingerprint.digest
            present = each.number < brought.get(digest, 0) or each.guid in here.guids
            if not present and strays[digest] > 0:
                strays[digest] -= 1
                present = True
            if not present:
                self._staged.fresh[each.guid] = Fresh(digest, each.number, each.fingerprint.virtual)
                yield each
                continue
            if self._staged.present.get(digest, 0) == each.number:
                self._staged.present[digest] = each.number + 1
            if each.copy is not None:
                each.copy.unlink()

    # -- laying out --------------------------------------------------------------------------------------------

    def _lay_out(self, missing: list[_Found], contents: Contents, *, virgin: bool) -> None:
        """Put messages into their lanes. In a virgin folder they keep the source's UIDs, if it has any."""
        validity = contents.validity if virgin else None
        if virgin:
            self._stage.lane(self._staged, Lane.WHOLE)
        uid = 0
        for each in missing:
            entry = each.entry
            uid = entry.uid if validity and entry.uid else uid + 1
            lane = Lane.EXACT if each.fingerprint.exact else Lane.WHOLE if virgin else Lane.APPEND
            place = self._stage.lane(self._staged, lane)
            base = b"%d.%s.posthouse,S=%d,W=%d" % (
                entry.arrived,
                each.guid.encode(),
                entry.size,
                each.fingerprint.virtual,
            )
            info = place.letters.info(entry.name.letters, contents.keywords)
            try:
                self._put(each, place.path / "cur" / os.fsdecode(base + b":" + info))
            except OSError as error:
                del self._staged.fresh[each.guid]
                self._staged.problems.append(_unreadable(entry, error))
                continue
            place.lines.append(uidlist.Line(uid if lane is Lane.WHOLE else len(place.lines) + 1, each.guid, base))
        self._stage.finish(self._staged, validity or int(time.time()))

    def _put(self, found: _Found, target: Path) -> None:
        """Give a staged message its place and its time of arrival."""
        if self._part.link:
            self._reader.link(found.entry, target)
            return
        copy = found.copy
        if copy is None:
            copy = self._stage.incoming()
            self._read_through(found.entry, copy)
        copy.chmod(0o600)
        os.utime(copy, (found.entry.arrived, found.entry.arrived))
        copy.rename(target)


def _unreadable(entry: Entry, error: OSError) -> Notice:
    facts = {"file": os.fsdecode(entry.file), "detail": error.strerror or str(error)}
    return Notice(key="migrate-file-unreadable", facts=facts)
