"""Health probes that speak a line protocol: open, read the greeting, send a line, read the answer.

Used by the mail engines' probes. Time is limited by whoever runs the probe, which
cancels it; whatever happens, the connection is closed at once and without a
farewell, because a server that hangs must not hold the probe.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from appliance.engines.base import ProbeFailed

#: No answer of a mail protocol that a probe asks for is longer than this (octets, a line).
LONGEST_LINE = 8192
#: Nor has it more lines.
MOST_LINES = 200


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens: a TCP port, with TLS from the first byte if `tls`, or a unix socket at `path`."""

    host: str = ""
    port: int = 0
    tls: bool = False
    path: Path | None = None


@dataclass
class Dialogue:
    """A conversation with a server. Every method raises ProbeFailed, naming `probe`, when the answer is wrong."""

    probe: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def line(self) -> str:
        """The next line, without its end."""
        try:
            raw = await self.reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            raise self.failure(f"connection closed after {_shown(error.partial)}") from error
        except asyncio.LimitOverrunError as error:
            raise self.failure(f"a line of more than {LONGEST_LINE} octets") from error
        return raw.rstrip(b"\r\n").decode("utf-8", "replace")

    async def send(self, line: str) -> None:
        """Send a line."""
        self.writer.write(f"{line}\r\n".encode())
        await self.writer.drain()

    async def expect(self, start: str) -> str:
        """The next line, which must begin with `start`."""
        line = await self.line()
        if not line.startswith(start):
            raise self.failure(f"expected {start!r}, got {line!r}")
        return line

    async def reply(self, code: int) -> list[str]:
        """The texts of an SMTP or LMTP reply of one or more lines (RFC 5321, 4.2.1), which must have this code."""
        texts: list[str] = []
        while len(texts) < MOST_LINES:
            line = await self.expect(str(code))
            texts.append(line[4:])
            if line[3:4] != "-":
                return texts
        raise self.failure(f"a reply of more than {MOST_LINES} lines")

    async def tagged(self, tag: str, command: str) -> list[str]:
        """Send an IMAP command; return its untagged lines. Its completion must be OK (RFC 3501, 7.1)."""
        await self.send(f"{tag} {command}")
        untagged: list[str] = []
        while len(untagged) < MOST_LINES:
            line = await self.line()
            if not line.startswith(f"{tag} "):
                untagged.append(line)
            elif line.startswith(f"{tag} OK"):
                return untagged
            else:
                raise self.failure(f"{command.split(maxsplit=1)[0]}: {line.removeprefix(tag).strip()}")
        raise self.failure(f"an answer of more than {MOST_LINES} lines")

    def failure(self, detail: str) -> ProbeFailed:
        """The error to raise."""
        return ProbeFailed(self.probe, detail)


@asynccontextmanager
async def dialogue(probe: str, endpoint: Endpoint) -> AsyncIterator[Dialogue]:
    """A conversation with the server at `endpoint`. Raises ProbeFailed when nobody answers there."""
    try:
        if endpoint.path is not None:
            reader, writer = await asyncio.open_unix_connection(endpoint.path, limit=LONGEST_LINE)
        else:
            context = _any_certificate() if endpoint.tls else None
            # From the same address: else the kernel takes the interface's first one, which is no group's.
            source = (endpoint.host, 0)
            reader, writer = await asyncio.open_connection(
                endpoint.host, endpoint.port, ssl=context, limit=LONGEST_LINE, local_addr=source
            )
    except (OSError, ssl.SSLError) as error:
        raise ProbeFailed(probe, error.strerror or str(error)) from error
    try:
        yield Dialogue(probe, reader, writer)
    except (ConnectionError, ssl.SSLError) as error:
        raise ProbeFailed(probe, str(error)) from error
    finally:
        writer.transport.abort()


@cache
def _any_certificate() -> ssl.SSLContext:
    """TLS to this node's own listener: whether the certificate suits its name is not the probe's question."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown(data: bytes) -> str:
    return repr(data[-80:].decode("utf-8", "replace")) if data else "nothing"
