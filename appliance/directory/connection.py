"""A connection to the directory: LDAP over ldapi, signed in by SASL EXTERNAL (RFC 4511, RFC 4513).

Opened when first used and opened anew after a loss. Every call has a deadline.
Results that a caller can act on are exceptions of their own (EntryMissing,
EntryExists …); a directory that does not answer is DirectoryUnavailable.
One object serves one thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPSocketOpenError
from ldap3.core.results import (
    RESULT_ATTRIBUTE_OR_VALUE_EXISTS,
    RESULT_BUSY,
    RESULT_ENTRY_ALREADY_EXISTS,
    RESULT_INSUFFICIENT_ACCESS_RIGHTS,
    RESULT_NO_SUCH_ATTRIBUTE,
    RESULT_NO_SUCH_OBJECT,
    RESULT_NOT_ALLOWED_ON_NON_LEAF,
    RESULT_SIZE_LIMIT_EXCEEDED,
    RESULT_SUCCESS,
    RESULT_TIME_LIMIT_EXCEEDED,
    RESULT_UNAVAILABLE,
)

from appliance.directory import schema
from appliance.errors import PosthouseError, Unavailable

#: Seconds for opening, and for an answer to arrive. slapd's own limit for a search is shorter.
CONNECT_DEADLINE: Final = 3
ANSWER_DEADLINE: Final = 15
#: Between two tries to open a socket that is not there.
_AGAIN: Final = 0.05
_PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"
#: Entries read at first where all are wanted, and at a time in the end.
_FIRST_PAGE: Final = 50
_LARGEST_PAGE: Final = 800
#: Additions under way at once; slapd queues at most conn_max_pending_auth (1000).
_WINDOW: Final = 64

#: Attribute values as the directory holds them: text, or bytes where only bytes will do.
Values = Sequence[str | bytes]
Attributes = Mapping[str, Values]


class Scope(StrEnum):
    """How far below its base a search looks."""

    BASE = ldap3.BASE
    CHILDREN = ldap3.LEVEL
    SUBTREE = ldap3.SUBTREE


class Edit(StrEnum):
    """What a modification does with the values it names."""

    ADD = ldap3.MODIFY_ADD
    DELETE = ldap3.MODIFY_DELETE
    REPLACE = ldap3.MODIFY_REPLACE


#: attribute -> edits in order
Changes = Mapping[str, Sequence[tuple[Edit, Values]]]


@dataclass(frozen=True)
class Entry:
    """An entry: its DN and its values as bytes. Attribute names are as the schema writes them."""

    dn: str
    values: Mapping[str, Sequence[bytes]]

    def texts(self, attribute: str) -> tuple[str, ...]:
        """All values of an attribute as text."""
        return tuple(value.decode("utf-8") for value in self.values.get(attribute, ()))

    def text(self, attribute: str) -> str | None:
        """The first value of an attribute as text, or None."""
        return next(iter(self.texts(attribute)), None)


@dataclass(frozen=True)
class Found:
    """What a search gave. `complete` is False when a limit cut it off."""

    entries: tuple[Entry, ...]
    complete: bool


class DirectoryUnavailable(Unavailable):
    """The directory did not answer. A write may or may not have happened."""


class DirectoryRefused(PosthouseError):
    """The directory refused an operation."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.code = int(result["result"])
        detail = ": ".join(filter(None, (str(result["description"]), str(result.get("message") or ""))))
        super().__init__("directory-refused", detail=detail)


class ChangedMeanwhile(PosthouseError):
    """Somebody else changed an entry at the same moment; nothing was done."""

    exit_code: ClassVar[int] = 75


class NotAllowed(DirectoryRefused):
    """This account may not do that; administration needs root."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        super().__init__(result)
        self.key = "directory-not-allowed"


class EntryMissing(DirectoryRefused):
    """The entry, or the one it should lie in, does not exist."""


class EntryExists(DirectoryRefused):
    """An entry of this name exists."""


class EntryNotEmpty(DirectoryRefused):
    """Entries lie below it."""


class ValueMissing(DirectoryRefused):
    """A value that was to be deleted is not there."""


class ValueExists(DirectoryRefused):
    """A value that was to be added is there."""


_REFUSALS: Final[Mapping[int, type[DirectoryRefused]]] = {
    RESULT_NO_SUCH_OBJECT: EntryMissing,
    RESULT_ENTRY_ALREADY_EXISTS: EntryExists,
    RESULT_NOT_ALLOWED_ON_NON_LEAF: EntryNotEmpty,
    RESULT_NO_SUCH_ATTRIBUTE: ValueMissing,
    RESULT_ATTRIBUTE_OR_VALUE_EXISTS: ValueExists,
    RESULT_INSUFFICIENT_ACCESS_RIGHTS: NotAllowed,
}
_CUT_OFF: Final = frozenset({RESULT_SIZE_LIMIT_EXCEEDED, RESULT_TIME_LIMIT_EXCEEDED})
#: How the name of a peer ends whose uid slapd.conf does not name.
_UNKNOWN: Final = ",cn=peercred,cn=external,cn=auth"
_LATER: Final = frozenset({RESULT_BUSY, RESULT_UNAVAILABLE})


class DirectoryConnection:
    """One connection. `uri` and deadlines (seconds) are only given by tests and probes."""

    def __init__(
        self,
        uri: str = schema.URI,
        *,
        connect_deadline: int = CONNECT_DEADLINE,
        answer_deadline: int = ANSWER_DEADLINE,
    ) -> None:
        self._uri = uri
        self._connect_deadline = connect_deadline
        self._answer_deadline = answer_deadline
        self._open: Any = None
        self._unknown: bool | None = None

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        connection, self._open = self._open, None
        self._unknown = None
        _unbind(connection)

    def confirm(self) -> bool:
        """Wait until what was written is safe from the loss of a server, as far as other servers hold the directory;
        False: it is not in time."""
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, dn: str, attributes: Sequence[str] = ("*",)) -> Entry | None:
        """Return one entry, or None."""
        try:
            found = self.search(dn, "(objectClass=*)", Scope.BASE, attributes)
        except EntryMissing:
            return None
        return next(iter(found.entries), None)

    def search(
        self,
        base: str,
        filter_: str,
        scope: Scope = Scope.SUBTREE,
        attributes: Sequence[str] = ("*",),
        *,
        limit: int = 0,
        seconds: int = 0,
    ) -> Found:
        """Return what matches, at most `limit` entries (0: no limit) found in `seconds`. Raises EntryMissing."""
        result, entries = self._search(base, filter_, scope, attributes, size_limit=limit, time_limit=seconds)
        return Found(entries, complete=result["result"] not in _CUT_OFF)

    def pages(
        self, base: str, filter_: str, scope: Scope, attributes: Sequence[str], *, size: int | None = None
    ) -> Iterator[tuple[Entry, ...]]:
        """Yield what matches in the directory's own order, by pages (RFC 2696) of `size` entries; by default a few at
        first, then more each time, so that whoever wants only a few waits only for these.

        Other calls may come between pages, but not another `pages` of this connection.
        """
        cookie: bytes | None = None
        largest = size or _LARGEST_PAGE
        size = size or _FIRST_PAGE
        while True:
            result, entries = self._search(
                base, filter_, scope, attributes, paged_size=size, paged_cookie=cookie, resume=cookie is not None
            )
            if entries:
                yield entries
            size = min(size * 2, largest)
            cookie = result.get("controls", {}).get(_PAGED_RESULTS, {}).get("value", {}).get("cookie")
            if not cookie:
                return

    def add(self, dn: str, attributes: Attributes) -> None:
        """Add an entry. Raises EntryExists, EntryMissing (what it should lie in)."""
        self._write("add", dn, attributes={name: list(values) for name, values in attributes.items()})

    def add_many(self, entries: Iterable[tuple[str, Attributes]]) -> Iterator[DirectoryRefused | None]:
        """Add entries, many under way at once; yield for each in its order None or why it was refused."""
        self._before_write()
        connection = self._connect(ldap3.ASYNC)
        waiting: deque[int] = deque()
        try:
            for dn, attributes in entries:
                plain = {name: list(values) for name, values in attributes.items()}
                waiting.append(connection.add(dn, attributes=plain))
                if len(waiting) >= _WINDOW:
                    yield self._added(connection, waiting.popleft())
            while waiting:
                yield self._added(connection, waiting.popleft())
        except (LDAPException, OSError) as error:
            raise _unavailable(error) from error
        finally:
            _unbind(connection)

    def modify(self, dn: str, changes: Changes) -> None:
        """Change an entry in one step. Raises EntryMissing, ValueMissing, ValueExists."""
        plain = {
            name: [(edit.value, list(values)) for edit, values in edits] for name, edits in changes.items() if edits
        }
        self._write("modify", dn, plain)

    def rename(self, dn: str, rdn: str, parent: str | None = None, *, keep_old: bool = False) -> None:
        """Give an entry another name, below `parent` if given; in one step. Raises EntryMissing, EntryExists.

        `keep_old` leaves the value of the old RDN among its attributes.
        """
        self._write("modify_dn", dn, rdn, delete_old_dn=not keep_old, new_superior=parent)

    def delete(self, dn: str) -> None:
        """Delete an entry. Raises EntryMissing, EntryNotEmpty."""
        self._write("delete", dn)

    def _search(
        self, base: str, filter_: str, scope: Scope, attributes: Sequence[str], *, resume: bool = False, **more: Any
    ) -> tuple[Mapping[str, Any], tuple[Entry, ...]]:
        arguments = {"search_base": base, "search_filter": filter_, "search_scope": scope.value}
        result, response = self._run(
            "search", retry=not resume, attributes=list(attributes), **arguments, **{k: v for k, v in more.items() if v}
        )
        if result["result"] not in _CUT_OFF:
            self._check(result)
        entries = tuple(
            Entry(item["dn"], dict(item["raw_attributes"]))
            for item in response or ()
            if item["type"] == "searchResEntry"
        )
        return result, entries

    def _write(self, operation: str, *arguments: Any, **more: Any) -> None:
        self._before_write()
        result, _ = self._run(operation, *arguments, retry=False, **more)
        self._check(result)

    def _check(self, result: Mapping[str, Any]) -> None:
        """Raise what the directory refused. To an account that it does not know it says of everything that it is not
        there (slapd.access(5), disclose); that account is told so."""
        if result["result"] == RESULT_NO_SUCH_OBJECT and self._is_unknown():
            raise NotAllowed(result)
        _check(result)

    def _is_unknown(self) -> bool:
        """Whether the directory takes this account for nobody in particular (RFC 4532)."""
        if self._unknown is None:
            try:
                self._unknown = str(self._open.extend.standard.who_am_i()).endswith(_UNKNOWN)
            except (LDAPException, OSError) as error:
                self.close()
                raise _unavailable(error) from error
        return self._unknown

    def _run(self, operation: str, *arguments: Any, retry: bool, **more: Any) -> tuple[Mapping[str, Any], Any]:
        """Run one operation. A connection found dead is opened anew once, if repeating is harmless."""
        fresh = self._open is None
        if fresh:
            # Not SAFE_SYNC: it copies every answer for other threads, which takes longer than decoding it.
            self._open = self._connect(ldap3.SYNC)
        try:
            getattr(self._open, operation)(*arguments, **more)
        except (LDAPException, OSError) as error:
            self.close()
            if retry and not fresh and not isinstance(error, TimeoutError):
                return self._run(operation, *arguments, retry=False, **more)
            raise _unavailable(error) from error
        return self._open.result, self._open.response

    def _connect(self, strategy: str) -> Any:
        """Open and sign in. This node's own server has no socket for a moment while it restarts: it is waited for."""
        until = time.monotonic() + self._connect_deadline
        while True:
            server = self._server()
            try:
                return self._connected(server, strategy)
            except LDAPSocketOpenError as error:
                if not server.ipc or time.monotonic() >= until:
                    raise _unavailable(error) from error
                time.sleep(_AGAIN)
            except (LDAPException, OSError) as error:
                raise _unavailable(error) from error

    def _connected(self, server: ldap3.Server, strategy: str) -> Any:
        connection = ldap3.Connection(
            server,
            authentication=ldap3.SASL,
            sasl_mechanism=ldap3.EXTERNAL,
            sasl_credentials="",
            client_strategy=strategy,
            # ldap3's receiving thread never ends, and takes a whole core, when this is set and the socket closes;
            # there the deadline is kept by get_response.
            receive_timeout=None if strategy == ldap3.ASYNC else self._answer_deadline,
            check_names=False,
            auto_range=False,
            auto_referrals=False,
            return_empty_attributes=False,
        )
        try:
            connection.open()
            connection.bind()
        except (LDAPException, OSError):
            _unbind(connection)
            raise
        return connection

    def _before_write(self) -> None:
        """Called before each write; raises DirectoryUnavailable where nothing may be written."""

    def _server(self) -> ldap3.Server:
        """Where to connect."""
        return ldap3.Server(self._uri, get_info=ldap3.NONE, connect_timeout=self._connect_deadline)

    def _added(self, connection: Any, message: int) -> DirectoryRefused | None:
        _, result = connection.get_response(message, timeout=self._answer_deadline)
        if result is None:  # the connection was lost before, and what was under way with it
            raise DirectoryUnavailable("directory-unavailable", detail="connection lost")
        try:
            _check(result)
        except DirectoryRefused as refused:
            return refused
        return None


def _check(result: Mapping[str, Any]) -> None:
    code = result["result"]
    if code in _LATER:
        raise DirectoryUnavailable("directory-unavailable", detail=str(result["description"]))
    if code != RESULT_SUCCESS:
        raise _REFUSALS.get(code, DirectoryRefused)(result)


def _unavailable(error: Exception) -> DirectoryUnavailable:
    return DirectoryUnavailable("directory-unavailable", detail=str(error) or type(error).__name__)


def _unbind(connection: Any) -> None:
    """Close without asking the server: it may be what hangs."""
    if connection is None:
        return
    socket = connection.socket  # ldap3 forgets the one on which opening failed
    with suppress(LDAPException, OSError):
        connection.strategy.close()
    if socket is not None:
        socket.close()
