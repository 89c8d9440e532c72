"""What passes between the node that a mailbox leaves and the one that owns the target group.

    leaving    one line: `Request`
    receiving  one line: `Answer`
    both       frames: four octets of length, so many octets; length 0: there is no more
    receiving  one line: `Ending`, after its last frame

Mutual TLS 1.3 with the nodes' certificates; each side knows the other by its name, as agents do (health/peer_wire.py).
Before the peer has shown a certificate of the installation's authority no octet of it is read.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from appliance.cluster.model import CheckedGroupName
from appliance.cluster.names import Seconds

#: Copies of mailboxes that move (docs/developers/mail-topology.md).
PORT: Final = 7392
#: Longest line.
LONGEST: Final = 4096
#: For a handshake and a line.
PATIENCE: Final = Seconds(10.0)
_FRAME: Final = 1 << 16
#: What a reader of either side holds before it lets the peer wait.
BUFFER: Final = 4 * _FRAME
_LENGTH: Final = 4
#: A peer that is silent is asked after 10 s whether it is there, and given up within 30 s.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 4))
_UNANSWERED: Final = 30_000


class Mode(StrEnum):
    """What is asked for."""

    #: Whether the mailbox would be taken in.
    ASK = "ask"
    #: Make the home there like the one here.
    COPY = "copy"
    #: Say what a copy would change.
    COMPARE = "compare"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Request(_Line):
    """The owner of group `source` asks the owner of group `target` about a mailbox."""

    mode: Mode
    source: CheckedGroupName
    target: CheckedGroupName
    address: str = Field(max_length=512)
    id: str = Field(pattern=r"^[0-9a-f]{32}$")


class Answer(_Line):
    """`refused` is a message key and `facts` are its variables; empty: go on."""

    refused: str = Field(default="", pattern=r"^([a-z][a-z0-9-]{0,60})?$")
    facts: dict[str, str] = Field(default_factory=dict)


class Ending(_Line):
    """The receiving side's exit status."""

    status: int = Field(ge=0, le=255)


async def say(writer: asyncio.StreamWriter, told: BaseModel) -> None:
    """Send a line."""
    writer.write(told.model_dump_json().encode() + b"\n")
    await writer.drain()


async def heard(reader: asyncio.StreamReader) -> bytes:
    """One line; raises OSError when the peer has ended or says too much."""
    try:
        async with asyncio.timeout(PATIENCE):
            line = await reader.readline()
    except (ValueError, TimeoutError) as error:
        raise ConnectionAbortedError(str(error) or "no answer") from error
    if not line.endswith(b"\n") or len(line) > LONGEST:
        raise ConnectionResetError("closed")
    return line


async def send(source: asyncio.StreamReader, peer: asyncio.StreamWriter) -> None:
    """Send everything of `source` in frames, then that there is no more."""
    while data := await source.read(_FRAME):
        peer.write(len(data).to_bytes(_LENGTH, "big") + data)
        await peer.drain()
    peer.write(bytes(_LENGTH))
    await peer.drain()


async def receive(peer: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Hand on the peer's frames until there are no more; a sink that has ended takes nothing and is no error.

    Raises OSError when the connection breaks.
    """
    try:
        while size := int.from_bytes(await peer.readexactly(_LENGTH), "big"):
            if size > _FRAME:
                raise ConnectionAbortedError("a frame is too long")
            data = await peer.readexactly(size)
            if not sink.is_closing():
                sink.write(data)
                with suppress(BrokenPipeError, ConnectionResetError):
                    await sink.drain()
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("closed") from error
    finally:
        sink.close()


def tend(writer: asyncio.StreamWriter) -> None:
    """Have the kernel notice a peer that is gone without a word (tcp(7))."""
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        found.setsockopt(socket.IPPROTO_TCP, option, value)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED)
