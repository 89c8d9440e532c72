"""Mail in mbox files, one file a folder, as UNIX spools, Dovecot, UW IMAP and Thunderbird keep them.

Dovecot's mbox format reads them (it knows where a message really ends); from a copy,
because it writes its state into the file. dsync is not used here: it takes messages with
equal headers for one and the same in mbox.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cluster.report import Notice
from appliance.errors import Unavailable
from appliance.migration.mail import maildir, names
from appliance.migration.mail.dovecot import Dovecot, complaint
from appliance.migration.mail.mirror import imported_configuration
from appliance.migration.mail.names import Folder
from appliance.migration.mail.staging import Part

_CHUNK = 4 * 1024 * 1024
_MARK = b"From "
_DEEPEST = 30
_TRIES = 5
_WAIT = 1.0
_INBOXES = frozenset({"inbox", "mbox"})
#: What lies beside mbox files and is none: Thunderbird's indexes, IMAP servers' lists.
_ASIDE = (".msf", ".dat", ".html", ".json", ".lock", ".index", ".cache", ".log")


@dataclass(frozen=True)
class MboxFile:
    """A file that becomes a folder."""

    folder: Folder
    path: Path
    size: int


@dataclass
class Found:
    """The mbox files of a tree, and what was left out."""

    files: list[MboxFile] = field(default_factory=list)
    problems: list[Notice] = field(default_factory=list)
    notes: list[Notice] = field(default_factory=list)


def find(path: Path, folder: Folder | None = None) -> Found:
    """The mbox file at `path` (as `folder`, or the inbox), or those in the folder `path`. Raises OSError."""
    found = Found()
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        _descend(path, (), found)
    elif stat.S_ISREG(about.st_mode) and not _is_mbox(path, about.st_size):
        found.problems.append(Notice(key="migrate-no-mbox", facts={"path": str(path)}))
    else:
        found.files.append(MboxFile(folder if folder is not None else names.INBOX, path, about.st_size))
    return found


def _is_mbox(path: Path, size: int) -> bool:
    """Whether it begins as an mbox file does; an empty one is one. Raises OSError."""
    with path.open("rb") as file:
        return size == 0 or file.read(len(_MARK)) == _MARK


def _descend(path: Path, above: Folder, found: Found) -> None:
    with os.scandir(path) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = entry.name
        if name.startswith(".") or name.lower().endswith(_ASIDE):
            continue
        if entry.is_symlink():
            found.problems.append(Notice(key="migrate-link-not-followed", facts={"path": entry.path}))
        elif entry.is_dir(follow_symlinks=False):
            # Thunderbird keeps what is below Sent in Sent.sbd.
            below = names.from_disk(os.fsencode(name.removesuffix(".sbd")))
            if len(above) < _DEEPEST:
                _descend(Path(entry.path), (*above, below), found)
        elif entry.is_file(follow_symlinks=False):
            _add(Path(entry.path), entry.stat(follow_symlinks=False).st_size, above, found)


def _add(path: Path, size: int, above: Folder, found: Found) -> None:
    try:
        is_mbox = _is_mbox(path, size)
    except OSError as error:
        facts: dict[str, str | int | float] = {"file": str(path), "detail": error.strerror or str(error)}
        found.problems.append(Notice(key="migrate-file-unreadable", facts=facts))
        return
    if not is_mbox:
        found.notes.append(Notice(key="migrate-no-mbox", facts={"path": str(path)}))
        return
    part = names.from_disk(os.fsencode(path.name.removesuffix(".mbox")))
    taken = {each.folder for each in found.files}
    inbox = not above and part.lower() in _INBOXES and names.INBOX not in taken
    folder = names.INBOX if inbox else names.unique((*above, part), taken)
    found.files.append(MboxFile(folder, path, size))


def convert(
    files: Iterable[MboxFile], scratch: Path, owner: tuple[int, int], dovecot: Dovecot
) -> tuple[list[Part], list[Notice]]:
    """Make a Maildir of each file below `scratch`; return them as parts. Raises Unavailable."""
    parts: list[Part] = []
    problems: list[Notice] = []
    for number, each in enumerate(files):
        place = scratch / str(number)
        try:
            _copy(each.path, place, owner)
        except OSError as error:
            facts: dict[str, str | int | float] = {"file": str(each.path), "detail": error.strerror or str(error)}
            problems.append(Notice(key="migrate-file-unreadable", facts=facts))
            continue
        with dovecot.configuration(imported_configuration(place / "Maildir")) as config:
            done = dovecot.import_all(f"mbox:{place / 'mail'}:INBOX={place / 'inbox'}", config)
        problems += complaint(done, str(each.path))
        (place / "inbox").unlink()
        tree = maildir.scan(place / "Maildir")
        parts += [Part(each.folder, tree, found, "", link=True) for found in tree.folders if not found.folder]
    return parts, problems


def _copy(source: Path, place: Path, owner: tuple[int, int]) -> None:
    """Copy an mbox file where Dovecot may write to it; again while somebody else changes it. Raises OSError.

    Nobody but root may enter until the end: the owner of a folder could put a link where its contents are given away.
    """
    place.mkdir(mode=0o700)
    (place / "mail").mkdir(mode=0o700)
    target = place / "inbox"
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC)
    with os.fdopen(handle, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "not a regular file")
        for _ in range(_TRIES):
            with suppress(OSError):
                fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            before = os.fstat(handle)
            file.seek(0)
            with target.open("wb") as copy:
                for chunk in iter(lambda: file.read(_CHUNK), b""):
                    copy.write(chunk)
            after = os.fstat(handle)
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                break
            time.sleep(_WAIT)
        else:
            raise Unavailable("migrate-mbox-busy", path=str(source))
    for path in (target, place / "mail", place):
        os.chown(path, *owner, follow_symlinks=False)
