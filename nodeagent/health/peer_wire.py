"""What two agents say to each other: mutual TLS, then two octets to and fro.

    observer  ?n      are you there?
    observed  !n      yes (the same n)
    observed  .0      I end now and come back in a moment

Each side knows the other by its certificate's common name, a node's name, signed by the installation's
own authority; a mail certificate is no client's (pki/authority.py), an unknown name is hung up on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from appliance import paths
from appliance.cluster.decided import serial_text
from appliance.cluster.names import NodeName, Seconds
from appliance.errors import PosthouseError

#: Agents, direct probes (docs/developers/mail-topology.md).
PORT: Final = 7391

_PING, _PONG, _BYE = b"?"[0], b"!"[0], b"."[0]
_WORD: Final = 2
#: More than this at once is nobody's who keeps to the protocol.
_LONGEST: Final = 64
_HANDSHAKE: Final = Seconds(2.0)
_BACKLOG: Final = 64


class PeerKeysUnusable(PosthouseError):
    """This node's certificate, key or authority cannot be loaded."""


class PeerTls:
    """Both sides' TLS, loaded anew when the node's certificate was replaced."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or paths.PKI
        self._stamp: tuple[object, ...] = ()
        self.server = self._context(ssl.PROTOCOL_TLS_SERVER)
        self.client = self._context(ssl.PROTOCOL_TLS_CLIENT)

    @staticmethod
    def _context(protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # nodes are known by name and not by address: see `who`
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def refresh(self) -> None:
        """Load the keys when they are others than before; raises PeerKeysUnusable, and keeps the old ones in force."""
        authority, certificate, key = (self._folder / name for name in ("ca.crt", "node.crt", "node.key"))
        try:
            stamp = tuple((about.st_ino, about.st_mtime_ns) for about in map(Path.stat, (authority, certificate, key)))
            if stamp == self._stamp:
                return
            for context in (self.server, self.client):
                context.load_cert_chain(certificate, key)
                context.load_verify_locations(authority)
        except OSError as error:
            raise PeerKeysUnusable("peer-keys-unusable", path=str(self._folder), detail=str(error)) from error
        self._stamp = stamp


@dataclass(frozen=True)
class Shown:
    """What the other side's certificate says: a name, empty when it has none, and the serial number."""

    name: str
    serial: str


def who(transport: asyncio.BaseTransport) -> Shown:
    """Who the other side is by its certificate."""
    certificate: dict[str, Any] = transport.get_extra_info("peercert") or {}
    subject = (pair for pairs in certificate.get("subject", ()) for pair in pairs)
    name = next((value for kind, value in subject if kind == "commonName"), "")
    return Shown(name, serial_text(int(certificate.get("serialNumber", "0"), 16)))


#: Whether somebody with such a certificate may speak to us.
Knows = Callable[[Shown], bool]


class _Words(asyncio.Protocol):
    """Either side: reads words of two octets and hands them on."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if len(self._rest) > _LONGEST:
            self.transport.abort()
            return
        while len(self._rest) >= _WORD and not self.transport.is_closing():
            word, self._rest = self._rest[:_WORD], self._rest[_WORD:]
            self.heard(word[0], word[1])

    def heard(self, kind: int, number: int) -> None:
        raise NotImplementedError

    def say(self, kind: int, number: int = 0) -> None:
        if not self.transport.is_closing():
            self.transport.write(bytes((kind, number)))


class _Answering(_Words):
    """The observed side. Answers out of the event loop itself, so that a loop that hangs is silent."""

    def __init__(self, known: Knows, lines: set[_Answering]) -> None:
        super().__init__()
        self._known = known
        self._lines = lines

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._lines.add(self)
        self.look_again()

    def look_again(self) -> None:
        """Hang up on somebody who is not known (any more)."""
        if not self._known(who(self.transport)):
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._lines.discard(self)

    def heard(self, kind: int, number: int) -> None:
        if kind == _PING:
            self.say(_PONG, number)
        else:
            self.transport.abort()


class Listener:
    """Answers the other agents on one address. `known`: who may ask."""

    def __init__(self, tls: PeerTls, known: Knows, port: int = PORT) -> None:
        self._tls = tls
        self._known = known
        self._port = port
        self._server: asyncio.Server | None = None
        self._lines: set[_Answering] = set()

    async def open(self, address: str) -> None:
        """Listen there; raises OSError when this node has no such address (yet), or the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Answering(self._known, self._lines),
            address,
            self._port,
            ssl=self._tls.server,
            ssl_handshake_timeout=_HANDSHAKE,
            backlog=_BACKLOG,
            reuse_address=True,
            start_serving=False,
        )
        await self._server.start_serving()

    def look_again(self) -> None:
        """Hang up on those who may not ask any more."""
        for line in list(self._lines):
            line.look_again()

    async def close(self) -> None:
        """Tell everybody that this is on purpose, and end."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for line in list(self._lines):
            line.say(_BYE)
            line.transport.close()


class Line(_Words):
    """The observer's side of one connection."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._answer: asyncio.Future[bool] | None = None
        self.said_bye = False

    @classmethod
    async def open(cls, peer: NodeName, address: str, tls: PeerTls, port: int, known: Knows) -> Line:
        """Connect; raises OSError when nobody, or somebody else, is there."""
        _, line = await asyncio.get_running_loop().create_connection(cls, address, port, ssl=tls.client)
        there = who(line.transport)
        if there.name != peer or not known(there):
            line.transport.abort()
            raise ConnectionRefusedError(f"{address} is {there.name or 'nobody'} ({there.serial}) and not {peer}")
        return line

    async def ask(self) -> None:
        """Ask once and wait for the answer; raises OSError when the connection has ended. The deadline is the
        caller's."""
        if self.transport.is_closing():
            raise ConnectionResetError("closed")
        self._number = (self._number + 1) % 256
        self._answer = asyncio.get_running_loop().create_future()
        self.say(_PING, self._number)
        if not await self._answer:
            raise ConnectionResetError("closed")

    def heard(self, kind: int, number: int) -> None:
        if kind == _BYE:
            self.said_bye = True
        elif kind == _PONG and number == self._number:
            self._settle(answered=True)

    def connection_lost(self, error: Exception | None) -> None:
        self._settle(answered=False)

    def _settle(self, *, answered: bool) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answered)
