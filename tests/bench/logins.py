"""The login load: IMAP LOGIN and LOGOUT over many connections at once, by epoll(7).

A bare loop over sockets, because the load shares the machine with what it measures:
about 0.1 ms of processor time for each login.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.bench.accounts import PASSWORD, Person
from tests.lab import LabError, Node, network

_PORT: Final = 143
_STALL: Final = 30.0


@dataclass
class Logins:
    """The result: seconds of the whole run, and of each login from connect to the OK of LOGIN."""

    wall: float = 0.0
    latencies: list[float] = field(default_factory=list)


@dataclass
class _Client:
    socket: socket.socket
    person: Person
    started: float
    step: int = 0
    seen: bytes = b""


def log_in(node: Node, accounts: Iterator[Person], *, count: int, at_once: int) -> Logins:
    """Log in and out `count` times, never more than `at_once` connections open. Raises LabError on a refusal."""
    with network.entered(node.machine):
        return _Run(accounts, count).run(at_once)


class _Run:
    def __init__(self, accounts: Iterator[Person], count: int) -> None:
        self._accounts = accounts
        self._left = count
        self._poll = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._result = Logins()

    def run(self, at_once: int) -> Logins:
        start = time.perf_counter()
        for _ in range(at_once):
            self._connect()
        while self._clients:
            events = self._poll.poll(_STALL)
            if not events:
                raise LabError(f"no answer to {len(self._clients)} logins within {_STALL:g} s")
            for descriptor, _ in events:
                self._read(self._clients[descriptor])
        self._poll.close()
        self._result.wall = time.perf_counter() - start
        return self._result

    def _connect(self) -> None:
        if not self._left:
            return
        self._left -= 1
        started = time.perf_counter()
        connection = socket.create_connection(("127.0.0.1", _PORT))
        self._clients[connection.fileno()] = _Client(connection, next(self._accounts), started)
        self._poll.register(connection, select.EPOLLIN)

    def _read(self, client: _Client) -> None:
        """The next step of the dialogue: greeting, LOGIN, LOGOUT, end."""
        data = client.socket.recv(4096)
        client.seen += data
        if data and not client.seen.endswith(b"\r\n"):
            return
        match client.step:
            case 0 if client.seen.startswith(b"* OK"):
                client.socket.sendall(f"a LOGIN {client.person.address} {PASSWORD}\r\n".encode())
            case 1 if b"a OK" in client.seen:
                self._result.latencies.append(time.perf_counter() - client.started)
                client.socket.sendall(b"b LOGOUT\r\n")
            case 2 if not data:
                self._close(client)
                return
            case 1 if data and b"a NO" not in client.seen:
                return
            case 2:
                return
            case _:
                raise LabError(f"login of {client.person.address}: {client.seen.decode(errors='replace')!r}")
        client.step += 1
        client.seen = b""

    def _close(self, client: _Client) -> None:
        del self._clients[client.socket.fileno()]
        client.socket.close()
        self._connect()
