"""People at their mailboxes: IMAP workers that append, move and delete, POP3 workers that fetch and delete.

Each writes down what the server said OK to. An operation whose answer got lost leaves what was before and what was
wanted possible; nothing else is. Workers go on through every outage, as a mail program does.
"""

from __future__ import annotations

import imaplib
import itertools
import poplib
import re
import socket
import ssl
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

_TIMEOUT = 5.0
_PAUSE = 0.2
FOLDERS = ("Work", "Done")
IDENTITY = re.compile(rb"<([0-9a-f]{32})@load\.test>")
#: Where a message may be: a folder, or nowhere.
Place = str | None


def insecure() -> ssl.SSLContext:
    """TLS as the load needs it: whose certificate it is, other tests look at."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Refused(Exception):
    """The server answered that it did not do it."""


class Worker(ABC):
    """One person at one mailbox, who begins anew after every error until told to stop."""

    def __init__(self, host: str, address: str, password: str, every: float) -> None:
        self.host, self.address, self.password, self.every = host, address, password, every
        #: What the server refused; a few during an outage are no harm.
        self.refusals: list[str] = []
        self.done = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End in order: the operation that runs is waited for."""
        self._ended.set()
        self._thread.join(_TIMEOUT * 6)
        if self._thread.is_alive():
            raise TimeoutError(f"the worker of {self.address} does not end")

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                self._session()
            except (OSError, EOFError, imaplib.IMAP4.error, poplib.error_proto, Refused) as error:
                self.refusals.append(f"{type(error).__name__}: {error}")
                time.sleep(_PAUSE)

    @abstractmethod
    def _session(self) -> None:
        """Work until something goes wrong or the worker is to stop."""


@dataclass
class MailboxLedger:
    """Where each message of a worker may be now; one place only where every answer arrived."""

    places: dict[str, frozenset[Place]] = field(default_factory=dict)

    def trying(self, identity: str, place: Place) -> None:
        """An operation begins that puts the message there; until it is answered both places are possible."""
        self.places[identity] = self.places.get(identity, frozenset((None,))) | {place}

    def done(self, identity: str, place: Place) -> None:
        """The operation was answered OK."""
        self.places[identity] = frozenset((place,))

    def surely_in(self, place: Place) -> list[str]:
        """The messages that can be nowhere else."""
        return [identity for identity, places in self.places.items() if places == {place}]


@contextmanager
def _imap(host: str) -> Iterator[imaplib.IMAP4_SSL]:
    """A session whose socket is closed at the end, also when the server cut it off (imaplib leaves it open then)."""
    session = imaplib.IMAP4_SSL(host, ssl_context=insecure(), timeout=_TIMEOUT)
    try:
        yield session
        session.logout()
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            session.shutdown()
        session.socket().close()


class _Pop3(poplib.POP3_SSL):
    """One that leaves no open socket when the server cuts it off before its greeting."""

    def __init__(self, *given: Any, **named: Any) -> None:
        try:
            super().__init__(*given, **named)
        except BaseException:
            sock: socket.socket | None = getattr(self, "sock", None)
            if sock is not None:
                sock.close()
            raise


class ImapWorker(Worker):
    """Appends to one folder, moves some to another, deletes some of both."""

    def __init__(self, host: str, address: str, password: str, every: float = 0.1) -> None:
        super().__init__(host, address, password, every)
        self.ledger = MailboxLedger()

    def _session(self) -> None:
        with _imap(self.host) as session:
            session.login(self.address, self.password)
            for folder in FOLDERS:
                session.create(folder)  # NO when it is there
            _ok(session.select(FOLDERS[0]))
            for number in itertools.count():
                if self._ended.wait(self.every):
                    return
                self._append(session)
                if number % 2:
                    self._move(session)
                if number % 4 == 3:
                    self._delete(session)

    def _append(self, session: imaplib.IMAP4_SSL) -> None:
        identity = uuid.uuid4().hex
        text = f"Message-ID: <{identity}@load.test>\r\nSubject: {identity}\r\n\r\n{'z' * 500}\r\n"
        self._acknowledged(identity, FOLDERS[0], partial(session.append, FOLDERS[0], "", "", text.encode()))

    def _move(self, session: imaplib.IMAP4_SSL) -> None:
        for identity in self.ledger.surely_in(FOLDERS[0])[:1]:
            number = _find(session, identity)
            self._acknowledged(identity, FOLDERS[1], partial(session.uid, "MOVE", number, FOLDERS[1]))

    def _delete(self, session: imaplib.IMAP4_SSL) -> None:
        for identity in self.ledger.surely_in(FOLDERS[0])[:1]:
            number = _find(session, identity)
            _ok(session.uid("STORE", number, "+FLAGS.SILENT", r"(\Deleted)"))
            self._acknowledged(identity, None, partial(session.uid, "EXPUNGE", number))

    def _acknowledged(self, identity: str, place: Place, operation: Callable[[], tuple[str, Sequence[object]]]) -> None:
        self.ledger.trying(identity, place)
        _ok(operation())
        self.ledger.done(identity, place)
        self.done += 1


def _ok(answer: tuple[str, Sequence[object]]) -> Sequence[object]:
    if answer[0] != "OK":
        raise Refused(str(answer))
    return answer[1]


def _find(session: imaplib.IMAP4_SSL, identity: str) -> str:
    """The message's UID in the selected folder. Raises Refused when it is not there: the audit will tell."""
    found = _ok(session.uid("SEARCH", "HEADER", "Message-ID", f"<{identity}@load.test>"))
    numbers = found[0].split() if found and isinstance(found[0], bytes) else []
    if len(numbers) != 1:
        raise Refused(f"{identity} stands {len(numbers)} times in {FOLDERS[0]}")
    return str(numbers[0].decode())


class Pop3Worker(Worker):
    """Fetches and deletes what comes into one mailbox. `taken`: the deletion was confirmed; `unsure`: it may be."""

    def __init__(self, host: str, address: str, password: str, every: float = 0.5) -> None:
        super().__init__(host, address, password, every)
        self.taken: set[str] = set()
        self.unsure: set[str] = set()

    def _session(self) -> None:
        while not self._ended.wait(self.every):
            client = _Pop3(self.host, context=insecure(), timeout=_TIMEOUT)
            try:
                self._fetch(client)
            finally:
                with suppress(OSError, poplib.error_proto):
                    client.close()

    def _fetch(self, client: poplib.POP3_SSL) -> None:
        client.user(self.address)
        client.pass_(self.password)
        fetched = set()
        for number in range(1, min(client.stat()[0], 20) + 1):
            match = IDENTITY.search(b"\n".join(client.retr(number)[1]))
            client.dele(number)
            if match:
                fetched.add(match[1].decode())
        self.unsure |= fetched
        client.quit()
        self.taken |= fetched
        self.unsure -= fetched
        self.done += len(fetched)
