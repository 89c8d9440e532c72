"""An IMAP connection that only counts: it reads answers as fast as they come and keeps none of them."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Final

from tests.bench.accounts import PASSWORD, Person
from tests.lab import LabError, Node, network

_CHUNK: Final = 1 << 20
_TAIL: Final = 512
_TIMEOUT: Final = 120.0


@dataclass(frozen=True)
class Answer:
    """What a command took (seconds) and how many bytes it answered."""

    seconds: float
    size: int


class ImapSession:
    """One connection from the node's own loopback, so that no TLS is needed on either side."""

    def __init__(self, node: Node, person: Person) -> None:
        with network.entered(node.machine):
            self._socket = socket.create_connection(("127.0.0.1", 143), timeout=_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = 0
        self._read_until(b"* OK")
        self.command(f"LOGIN {person.address} {PASSWORD}")

    def command(self, text: str) -> Answer:
        """Send a command and read to its end. Raises LabError unless it ends with OK."""
        self._number += 1
        tag = b"zz%d" % self._number
        start = time.perf_counter()
        self._socket.sendall(tag + b" " + text.encode() + b"\r\n")
        size, line = self._read_until(tag + b" ")
        seconds = time.perf_counter() - start
        if not line.startswith(tag + b" OK"):
            raise LabError(f"{text}: {line.decode(errors='replace')}")
        return Answer(seconds, size)

    def _read_until(self, prefix: bytes) -> tuple[int, bytes]:
        """Read until the last complete line starts with `prefix`; return the number of bytes and that line."""
        size, tail = 0, b"\r\n"
        while True:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise LabError("the server closed the connection")
            size += len(data)
            tail = (tail + data)[-_TAIL:] if len(data) < _TAIL else data[-_TAIL:]
            if tail.endswith(b"\r\n"):
                line = tail[:-2].rpartition(b"\r\n")[2]
                if line.startswith(prefix):
                    return size, line

    def close(self) -> None:
        """Log out."""
        self.command("LOGOUT")
        self._socket.close()

    def __enter__(self) -> ImapSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
