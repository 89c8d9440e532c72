"""Reading a tree of Maildir folders where it lies, without changing anything in it.

Maildir++ (`.Sent.2024`) and nested folders (`Sent/2024`) are understood. Whoever owns
the tree may be hostile while root reads it: symbolic links are never followed, only
regular files are opened, and a file with a second name elsewhere must belong to the
folder's owner.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cluster.report import Notice
from appliance.migration.mail import flags, names, uidlist
from appliance.migration.mail.names import Folder

_SUBFOLDERS = (b"cur", b"new")
_DEEPEST = 30
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC
_MAX_LIST = 512 * 2**20
_TIME = re.compile(rb"(\d{9,10})\D")
#: Folders beside mail in trees of Dovecot, Courier and others.
_NO_FOLDERS = frozenset({b"cur", b"new", b"tmp", b"control", b"index", b"dovecot", b"sieve", b"lost+found"})


@dataclass(frozen=True)
class Entry:
    """A message file: in cur or new, its name, size, time of arrival (Unix seconds), and its UID if one is known."""

    subfolder: bytes
    file: bytes
    name: flags.Name
    size: int
    arrived: int
    uid: int | None


@dataclass(frozen=True)
class Contents:
    """A folder's messages in their order, and what else is known of it. `validity`: its UIDVALIDITY, if known."""

    entries: tuple[Entry, ...]
    validity: int | None
    keywords: dict[str, str]
    problems: tuple[Notice, ...]


@dataclass(frozen=True)
class MaildirFolder:
    """A folder of a tree: its name, and the way to it from the root."""

    folder: Folder
    way: tuple[bytes, ...]


@dataclass
class Tree:
    """What a tree holds. `subscribed` None: it does not say."""

    root: Path
    folders: list[MaildirFolder] = field(default_factory=list)
    subscribed: frozenset[Folder] | None = None
    problems: list[Notice] = field(default_factory=list)
    notes: list[Notice] = field(default_factory=list)


def is_maildir(path: Path) -> bool:
    """Whether a folder holds, or is, a Maildir."""
    return any((path / part).is_dir() for part in ("cur", "new"))


def scan(root: Path, *, escaped: bool = False) -> Tree:
    """Find the folders below `root`, which is resolved already. `escaped`: names by Dovecot's listescape.

    Raises OSError when the root cannot be read.
    """
    tree = Tree(root)
    taken: set[Folder] = set()
    handle = os.open(root, _DIRECTORY)
    try:
        children = _folders_in(handle, tree, ())
        if b"cur" in children or b"new" in children:
            tree.folders.append(MaildirFolder(names.INBOX, ()))
            taken.add(names.INBOX)
        for child in sorted(children - _NO_FOLDERS):
            if child.startswith(b"."):
                _add(tree, taken, names.from_maildir(child, escaped=escaped), (child,), handle)
            else:
                _descend(tree, taken, (child,), handle)
        tree.subscribed = _subscriptions(handle, escaped)
    finally:
        os.close(handle)
    return tree


def _add(tree: Tree, taken: set[Folder], folder: Folder, way: tuple[bytes, ...], root: int) -> None:
    with _opened(root, way) as handle:
        if not {b"cur", b"new"} & _folders_in(handle, tree, way):
            return
    wanted = names.unique(folder, taken)
    if wanted != folder:
        tree.notes.append(Notice(key="migrate-folder-renamed", facts=_facts(folder, new=names.shown(wanted))))
    taken.add(wanted)
    tree.folders.append(MaildirFolder(wanted, way))


def _descend(tree: Tree, taken: set[Folder], way: tuple[bytes, ...], root: int) -> None:
    """A folder of the nested layout, and those in it."""
    with _opened(root, way) as handle:
        children = _folders_in(handle, tree, way)
    inbox = len(way) == 1 and way[0].upper() == b"INBOX" and names.INBOX not in taken
    if {b"cur", b"new"} & children:
        _add(tree, taken, names.INBOX if inbox else tuple(names.from_disk(part) for part in way), way, root)
    if len(way) < _DEEPEST:
        for child in sorted(children - _NO_FOLDERS):
            if not child.startswith(b"."):
                _descend(tree, taken, (*way, child), root)


def _folders_in(handle: int, tree: Tree, way: tuple[bytes, ...]) -> set[bytes]:
    """Names of the real folders in an open one; symbolic links to folders are told of."""
    found = set()
    with os.scandir(handle) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                found.add(name)
            elif entry.is_symlink() and name not in _SUBFOLDERS:
                with suppress(OSError):
                    if entry.is_dir():
                        tree.problems.append(_linked(*way, name))
            elif entry.is_symlink():
                tree.problems.append(_linked(*way, name))
    return found


def _linked(*way: bytes) -> Notice:
    return Notice(key="migrate-link-not-followed", facts={"path": os.fsdecode(b"/".join(way))})


def _facts(folder: Folder, **more: str | int) -> dict[str, str | int | float]:
    return {"folder": names.shown(folder), **more}


@contextmanager
def _opened(root: int, way: tuple[bytes, ...]) -> Iterator[int]:
    """The folder at the end of the way, no step of which is a symbolic link."""
    handle = os.dup(root)
    try:
        for step in way:
            below = os.open(step, _DIRECTORY, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


class Reader:
    """An open folder of a tree: lists its messages and opens them. A context manager."""

    def __init__(self, tree: Tree, folder: MaildirFolder) -> None:
        self._root = tree.root
        self._folder = folder

    def __enter__(self) -> Reader:
        self._subfolders: dict[bytes, int] = {}
        root = os.open(self._root, _DIRECTORY)
        try:
            with _opened(root, self._folder.way) as handle:
                self._handle = os.dup(handle)
        finally:
            os.close(root)
        self._owner = os.fstat(self._handle).st_uid
        for name in _SUBFOLDERS:
            with suppress(FileNotFoundError, NotADirectoryError, OSError):
                self._subfolders[name] = os.open(name, _DIRECTORY, dir_fd=self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for handle in (self._handle, *self._subfolders.values()):
            os.close(handle)

    def contents(self) -> Contents:
        """List the messages: those with a UID in its order, then the others by time and name."""
        known = uidlist.parse(_read(self._handle, b"dovecot-uidlist"))
        problems: list[Notice] = []
        entries = [
            entry for name, handle in self._subfolders.items() for entry in self._entries(name, handle, known, problems)
        ]
        entries.sort(key=lambda entry: (entry.uid or 2**32, entry.arrived, entry.file))
        keywords = flags.keywords(_read(self._handle, b"dovecot-keywords").decode("ascii", "replace"))
        return Contents(tuple(entries), known.validity if known else None, keywords, tuple(problems))

    def _entries(
        self, subfolder: bytes, handle: int, known: uidlist.UidList | None, problems: list[Notice]
    ) -> Iterator[Entry]:
        with os.scandir(handle) as found:
            listed = [os.fsencode(entry.name) for entry in found]
        for file in listed:
            if file.startswith(b"."):
                continue
            try:
                facts = os.stat(file, dir_fd=handle, follow_symlinks=False)
            except FileNotFoundError:
                continue
            problem = self._refusal(facts)
            if problem:
                shown = os.fsdecode(b"/".join((*self._folder.way, subfolder, file)))
                problems.append(Notice(key=problem, facts={"path": shown}))
                continue
            name = flags.parse(file)
            uid = known.uids.get(name.base) if known else None
            yield Entry(subfolder, file, name, facts.st_size, _arrived(name.base, facts), uid)

    def _refusal(self, facts: os.stat_result) -> str | None:
        if stat.S_ISLNK(facts.st_mode):
            return "migrate-link-not-followed"
        if not stat.S_ISREG(facts.st_mode):
            return "migrate-no-message-file"
        if facts.st_nlink > 1 and facts.st_uid != self._owner:
            return "migrate-file-of-somebody-else"
        return None

    def open(self, entry: Entry) -> int:
        """A descriptor that reads the message. Raises OSError; FileNotFoundError when it is gone."""
        for file in self._names(entry):
            with suppress(FileNotFoundError):
                handle = _open(file, self._subfolders[entry.subfolder if file is entry.file else b"cur"])
                if self._refusal(os.fstat(handle)):
                    os.close(handle)
                    raise OSError(errno.EPERM, "not the file that was listed")
                return handle
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _names(self, entry: Entry) -> Iterator[bytes]:
        """The entry's name, then the one it has meanwhile: a client that reads mail renames the file."""
        yield entry.file
        if b"cur" in self._subfolders:
            with os.scandir(self._subfolders[b"cur"]) as found:
                again = [os.fsencode(each.name) for each in found]
            yield from (file for file in again if flags.parse(file).base == entry.name.base)

    def link(self, entry: Entry, target: Path) -> None:
        """Give the message a second name. Raises OSError."""
        os.link(entry.file, target, src_dir_fd=self._subfolders[entry.subfolder], follow_symlinks=False)


def _open(file: bytes, folder: int) -> int:
    """Open a file of an open folder for reading, leaving its time of last access as it is where that is allowed."""
    try:
        return os.open(file, _FILE, dir_fd=folder)
    except PermissionError:
        # O_NOATIME is for the owner and root only.
        return os.open(file, _FILE & ~os.O_NOATIME, dir_fd=folder)


def _arrived(base: bytes, facts: os.stat_result) -> int:
    """IMAP's INTERNALDATE of a Maildir file is its modification time; a senseless one gives way to its name's."""
    if facts.st_mtime > 0:
        return int(facts.st_mtime)
    match = _TIME.match(base)
    return int(match[1]) if match else 0


def _read(handle: int, name: bytes) -> bytes:
    """A small file of an open folder; empty when there is none, or when it is not a plain file."""
    try:
        descriptor = _open(name, handle)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(facts.st_mode) and facts.st_size <= _MAX_LIST else b""


def _subscriptions(root: int, escaped: bool) -> frozenset[Folder] | None:
    """Subscribed folders by Dovecot's file (both versions) or Courier's; None without either."""
    data = _read(root, b"subscriptions")
    if data.startswith(b"V\t2\n"):
        lines = [line for line in data.split(b"\n")[1:] if line]
        return frozenset(tuple(names.from_disk(part, escaped=escaped) for part in line.split(b"\t")) for line in lines)
    if not data:
        data = _read(root, b"courierimapsubscribed")
        if not data:
            return None
    parts = [line.removeprefix(b"INBOX.").strip(b"./") for line in data.split(b"\n") if line and line != b"INBOX"]
    return frozenset(tuple(names.from_disk(part) for part in re.split(rb"[./]", line)) for line in parts if line)
