"""One ZooKeeper session over mutual TLS (kazoo), and what its failures mean.

kazoo reconnects by itself, to the next member, when a connection breaks. It knows no deadlines, keeps
requests for later while it has no connection, and would trust every authority of this machine; all
three are put right here. Nothing is sent twice.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.retry import KazooRetry

from appliance.cluster.names import Seconds
from appliance.coordination.access import SUSPICIOUS_AFTER
from appliance.coordination.store import StoreUnavailable
from appliance.node_file import STORE_NAME, endpoint_address

#: kazoo pings every third of it and gives a silent member up after two thirds. Nothing of ours hangs on a session.
SESSION_TIMEOUT = Seconds(6.0)
#: How long one attempt to connect may take, handshake included.
CONNECT_TIMEOUT = Seconds(1.5)

#: kazoo's own words; ours are the exceptions and the watch's warnings.
_quiet = logging.getLogger(__name__ + ".kazoo")
_quiet.setLevel(logging.CRITICAL + 1)

_LOST = (ConnectionLoss, ConnectionClosedError, SessionExpiredError, AuthFailedError)


class ConnectionBroke(StoreUnavailable):
    """The connection, or the session, ended under a request."""


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads, with our own way to connect: our authority alone, and a server that carries the store's name."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._given_up = False

    def create_connection(self, address: tuple[str, int], **_: Any) -> socket.socket:
        """Connect, or raise OSError. The keys are read each time, so renewed ones count."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(self._folder / "ca.crt")
        context.load_cert_chain(self._folder / "node.crt", self._folder / "node.key")
        plain = socket.create_connection(address[:2], CONNECT_TIMEOUT)
        secured: socket.socket = plain
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._use(plain)
            secured = context.wrap_socket(plain, server_hostname=STORE_NAME)
            self._use(secured)
        except BaseException:
            secured.close()
            plain.close()
            raise
        return secured

    def _use(self, connection: socket.socket) -> None:
        """Remember what `give_up` ends; wrapping moves the descriptor to another object."""
        with self._lock:
            if self._given_up:
                raise ConnectionAbortedError
            self._socket = connection

    def select(self, readable: Sequence[Any], *others: Any) -> Any:
        """As select(2), but what TLS has decrypted and not handed out yet is readable too."""
        if ready := [each for each in readable if isinstance(each, ssl.SSLSocket) and each.pending()]:
            return ready, [], []
        return super().select(readable, *others)

    def give_up(self) -> None:
        """End the connection at once, whatever the server does; no other follows."""
        with self._lock:
            self._given_up = True
            if self._socket is not None:
                # Not SSLSocket's own: that one pulls the rug from under the thread that reads.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Session:
    """A kazoo client that has been started; `live` is set while it is connected."""

    def __init__(self, hosts: Sequence[str], folder: Path) -> None:
        self._handler = _Handler(folder)
        self.client = KazooClient(
            hosts=",".join(hosts),
            timeout=SESSION_TIMEOUT,
            handler=self._handler,
            randomize_hosts=False,
            use_ssl=True,
            logger=_quiet,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, backoff=2, max_delay=1.0),
        )
        self.live = self.client.start_async()

    def end(self) -> None:
        """Stop it without asking the server; its session there expires by itself."""
        self._handler.give_up()
        with contextlib.suppress(Exception):
            self.client.stop()
            self.client.close()


class ZooKeeperConnection:
    """Holds the session in use. Safe to use from several threads."""

    def __init__(self, endpoints: Sequence[str], folder: Path) -> None:
        self.endpoints = tuple(endpoints)
        self._hosts = [_host(endpoint) for endpoint in endpoints]
        self._folder = folder
        self._first = 0
        self._closed = False
        self._lock = threading.Lock()
        self._session: _Session | None = None

    def ask(self, ends: float, send: Callable[[KazooClient], Sequence[Any]]) -> list[Any]:
        """Send requests in one go and return their answers, a KazooException where ZooKeeper refused one.

        `send` gets the client and returns kazoo's pending results; ZooKeeper carries them out in that order.
        Raises StoreUnavailable unless all answers are there at `ends` (monotonic); then each may have happened.
        """
        started = time.monotonic()
        session = self._current()
        if not session.live.wait(max(ends - started, 0.0)):
            # Not only a dead server: one that was restored refuses clients that have seen its future.
            self._suspect(session, time.monotonic() - started)
            raise self._failure("store-unreachable", "no session", ends - started)
        sent = time.monotonic()
        try:
            return [_answer(pending, ends) for pending in send(session.client)]
        except _LOST as error:
            raise self._failure("store-unreachable", type(error).__name__, ends - started, lost=True) from error
        except KazooTimeoutError as error:
            # Without a connection kazoo keeps the request and would send it later; that must not be.
            self._suspect(session, time.monotonic() - sent if session.live.is_set() else SUSPICIOUS_AFTER)
            raise self._failure("store-no-answer", "no answer", ends - started) from error

    def ask_harmless(self, ends: float, send: Callable[[KazooClient], Sequence[Any]]) -> list[Any]:
        """As `ask`, for requests without effect: sent again when the connection broke under them."""
        while True:
            try:
                return self.ask(ends, send)
            except ConnectionBroke:
                if time.monotonic() >= ends:
                    raise

    def _current(self) -> _Session:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("store-closed")
            if self._session is None:
                order = self._hosts[self._first :] + self._hosts[: self._first]
                self._session = _Session(order, self._folder)
            return self._session

    def _suspect(self, session: _Session, waited: float) -> None:
        """Nothing came for `waited` seconds: drop the session, try another member first."""
        if waited < SUSPICIOUS_AFTER:
            return
        with self._lock:
            if session is not self._session:
                return
            self._session = None
            self._first = (self._first + 1) % len(self.endpoints)
        threading.Thread(target=session.end, name="end of a ZooKeeper session", daemon=True).start()

    def close(self) -> None:
        """End every call; the connection cannot be used again."""
        with self._lock:
            self._closed = True
            session, self._session = self._session, None
        if session is not None:
            session.end()

    def _failure(self, key: str, detail: str, seconds: float, *, lost: bool = False) -> StoreUnavailable:
        if self._closed:
            return StoreUnavailable("store-closed")
        facts = {"endpoints": ", ".join(self.endpoints), "detail": detail, "seconds": round(seconds, 2)}
        return ConnectionBroke(key, **facts) if lost else StoreUnavailable(key, **facts)

    def refused(self, detail: str) -> StoreUnavailable:
        """The error for a request that the store does not take."""
        return StoreUnavailable("store-refused", endpoints=", ".join(self.endpoints), detail=detail)


def _host(endpoint: str) -> str:
    """kazoo's way to write `https://HOST:PORT`."""
    host, port = endpoint_address(endpoint)
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _answer(pending: Any, ends: float) -> Any:
    """The answer, or the exception that ZooKeeper gave; raise when there is no connection or no time left."""
    try:
        return pending.get(timeout=max(ends - time.monotonic(), 0.0))
    except (KazooTimeoutError, *_LOST):
        raise
    except KazooException as refusal:
        return refusal
