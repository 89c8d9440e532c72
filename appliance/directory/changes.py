"""Following the directory: which addresses and domains changed, so that caches forget them within a second.

The node agent polls. slapd keeps in `contextCSN` of the suffix the newest change of
each server (RFC 4533's cookie rests on it); while that stands still, a poll is one
small read. When it moves, entries with `entryCSN` at or after the old mark are read.
A renamed mailbox names both its addresses; a deleted one is found where it lies now.
What is deleted for good was in `ou=deleted` before and has been told then; for an
alias no cache of logins exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from appliance.directory import schema as s
from appliance.directory.connection import DirectoryConnection, Entry, Scope

#: server id -> newest change sequence number of that server
Marks = Mapping[str, str]

_CSN: Final = "contextCSN"
_ENTRY_CSN: Final = "entryCSN"
#: More changes than this at once are told as "everything".
MOST: Final = 1000
_ATTRIBUTES: Final = (s.MAIL, s.PREVIOUS_MAIL, s.LOGIN, s.ASSOCIATED_DOMAIN, s.DOMAIN_NAME, _ENTRY_CSN)


@dataclass(frozen=True)
class Changed:
    """What changed: login names, and domains (with all their mailboxes). `everything`: too much to tell.

    `moved`: something changed, be it only what is not told of, such as an alias or a deletion.
    """

    names: frozenset[str] = field(default=frozenset())
    domains: frozenset[str] = field(default=frozenset())
    everything: bool = False
    moved: bool = False

    def __bool__(self) -> bool:
        return bool(self.names or self.domains or self.everything)


NOTHING: Final = Changed()
EVERYTHING: Final = Changed(everything=True, moved=True)


def marks(values: Iterable[str]) -> dict[str, str]:
    """The marks in the values of contextCSN: `time#count#server#modification`."""
    known: dict[str, str] = {}
    for value in values:
        parts = value.split("#")
        server = parts[2] if len(parts) > 2 else ""  # noqa: PLR2004 - the third part names the server
        known[server] = max(value, known.get(server, ""))
    return known


def since(old: Marks, new: Marks) -> str | None:
    """The change number from which on entries have to be read, None when nothing moved.

    A server never heard of before, or one whose mark went back (a database restored from
    a backup), gives "", which means everything.
    """
    moved = [server for server, mark in new.items() if old.get(server) != mark]
    if not moved:
        return None
    if any(server not in old or new[server] < old[server] for server in moved):
        return ""
    return min(old[server] for server in moved)


def changed(entries: Iterable[Entry]) -> Changed:
    """What entries with a new change number tell."""
    names: set[str] = set()
    domains: set[str] = set()
    for entry in entries:
        if s.MAIL in entry.values:
            found = (*entry.texts(s.MAIL), *entry.texts(s.PREVIOUS_MAIL), *entry.texts(s.LOGIN))
            names.update(name.lower() for name in found)
        elif s.ASSOCIATED_DOMAIN in entry.values:
            domains.update(entry.texts(s.ASSOCIATED_DOMAIN))
            domains.update(entry.texts(s.DOMAIN_NAME))
    return Changed(frozenset(names), frozenset(domains))


class ChangeFollower:
    """Tells what changed between two calls of `poll`. Raises DirectoryUnavailable; the next call goes on from there.

    The first call tells EVERYTHING, because nobody knows what happened before it.
    """

    def __init__(self, connection: DirectoryConnection) -> None:
        self._connection = connection
        self._marks: Marks | None = None

    def poll(self) -> Changed:
        """Return what changed since the last call that succeeded. One read when nothing did."""
        root = self._connection.read(s.SUFFIX, (_CSN,))
        now = marks(root.texts(_CSN) if root else ())
        if self._marks is None:
            self._marks = now
            return EVERYTHING
        start = since(self._marks, now)
        if start is None:
            return NOTHING
        told = self._told(start)
        self._marks = now
        return replace(told, moved=True)

    def _told(self, start: str) -> Changed:
        if not start:
            return EVERYTHING
        classes = f"(|(objectClass={s.MAILBOX})(objectClass={s.DOMAIN}))"
        found = self._connection.search(
            s.SUFFIX, f"(&({_ENTRY_CSN}>={start}){classes})", Scope.SUBTREE, _ATTRIBUTES, limit=MOST
        )
        return changed(found.entries) if found.complete else EVERYTHING
