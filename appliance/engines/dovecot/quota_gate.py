"""Answers Postfix at RCPT whether a mailbox has room (policy protocol, SMTPD_POLICY_README of Postfix).

Dovecot's own quota-status knows exactly, but makes a whole mail user for every question,
which costs as much as a third of a delivery. So this process asks the account's home and
limit of Dovecot's user database, reads the usage that Dovecot keeps in `maildirsize`, and
lets pass what clearly fits. Everything else, and everything it does not understand, it
hands to quota-status word for word. Run by Dovecot's master as service quota-gate:

    python -m appliance.engines.dovecot.quota_gate AUTH_SOCKET QUOTA_STATUS_SOCKET

With the master it shares descriptors as src/lib-master/master-interface.h of Dovecot 2.3 says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

#: Nothing is known against this recipient (access(5)).
PASS: Final = b"action=DUNNO\n\n"
#: Recipients are compared without what follows this (recipient_delimiter).
_DELIMITER: Final = "+"
_ANSWER_WITHIN: Final = 4.0
#: Requests of Postfix are some 800 octets.
_LONGEST_REQUEST: Final = 65536
#: Dovecot starts `maildirsize` anew beyond 5120 octets.
_LARGEST_SIZE_FILE: Final = 65536

_STATUS_FD: Final = 5
_MASTER_DEAD_FD: Final = 6
_FIRST_LISTENER: Final = 7


def usage(maildirsize: bytes) -> int | None:
    """The octets in use: the sum of the first column after the line with the limits; None when it cannot be read.

    Format: Maildir++ (https://www.courier-mta.org/imap/README.maildirquota.html).
    """
    try:
        return sum(int(line.split()[0]) for line in maildirsize.splitlines()[1:])
    except (ValueError, IndexError):
        return None


def limit(fields: Sequence[str]) -> int | None:
    """The octets allowed, of the user database's `quota_rule=*:bytes=N`; 0 is no limit, None is not known."""
    rule = next((field for field in fields if field.startswith("quota_rule=")), "")
    number = rule.removeprefix("quota_rule=*:bytes=")
    return int(number) if number.isdecimal() else None


def account(recipient: str) -> str:
    """The address without its extension, as accounts are named."""
    local, at, domain = recipient.rpartition("@")
    return f"{local.partition(_DELIMITER)[0]}{at}{domain}".lower()


def fits(fields: Sequence[str], size: int) -> bool:
    """True when the account that these fields describe certainly has room for `size` more octets."""
    allowed = limit(fields)
    if allowed is None:
        return False
    if allowed == 0:
        return True
    home = next((field.removeprefix("home=") for field in fields if field.startswith("home=")), "")
    try:
        with (Path(home) / "Maildir" / "maildirsize").open("rb") as file:
            used = usage(file.read(_LARGEST_SIZE_FILE))
    except OSError:
        return False
    return used is not None and used + size <= allowed


class Users:
    """Dovecot's user database (auth-master protocol, src/lib-auth/auth-master.c): one connection, many questions."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[list[str] | None]] = {}
        self._number = 0
        self._opening = asyncio.Lock()

    async def find(self, name: str) -> list[str] | None:
        """The fields of an account; None when there is none, or it cannot be told."""
        if any(character in name for character in "\t\n\r\0\001"):
            return None
        writer = await self._connected()
        self._number += 1
        number = str(self._number)
        answer: asyncio.Future[list[str] | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            writer.write(f"USER\t{number}\t{name}\tservice=quota-status\n".encode())
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._opening:
            if self._writer is None or self._writer.is_closing():
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                self._writer.write(b"VERSION\t1\t0\n")
                self._reading = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                kind, _, rest = line.decode("utf-8", "replace").rstrip("\n").partition("\t")
                number, *fields = rest.split("\t")
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(fields if kind == "USER" else None)
        except (OSError, ValueError):
            pass
        finally:
            writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_result(None)


class Gate:
    """What to answer."""

    def __init__(self, users: Users, exact: str) -> None:
        self._users = users
        self._exact = exact

    async def answer(self, request: bytes) -> bytes:
        """The answer to one request. Never raises: what cannot be decided passes, delivery looks again."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                if await self._passes(request):
                    return PASS
                return await self._ask(request)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return PASS

    async def _passes(self, request: bytes) -> bool:
        asked = dict(line.partition("=")[::2] for line in request.decode("utf-8", "replace").split("\n"))
        recipient, size = asked.get("recipient", ""), asked.get("size", "")
        # An alias or a foreign address is nobody's mailbox: its targets are looked at when they are delivered.
        fields = await self._users.find(account(recipient)) if recipient else None
        return not fields or fits(fields[1:], int(size) if size.isdecimal() else 0)

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._exact)
        try:
            writer.write(request)
            return await reader.readuntil(b"\n\n")
        finally:
            writer.close()


class Session(asyncio.Protocol):
    """One smtpd; it asks one question at a time."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\n\n")
        if end >= 0:
            request, self._received = self._received[: end + 2], self._received[end + 2 :]
            self._task = asyncio.create_task(self._reply(request))
        elif len(self._received) > _LONGEST_REQUEST and self._transport is not None:
            self._transport.abort()

    async def _reply(self, request: bytes) -> None:
        answer = await self._gate.answer(request)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def serve(listeners: Sequence[socket.socket], gate: Gate, ended: asyncio.Event) -> None:
    """Answer on these sockets until `ended`."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        for listener in listeners:
            await stack.enter_async_context(await loop.create_unix_server(lambda: Session(gate), sock=listener))
        await ended.wait()


async def _run(auth: str, exact: str) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    # The master ends what is idle by SIGINT; it counts clients only when told, and this process does not tell.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_reader(_MASTER_DEAD_FD, ended.set)
    count = int(os.environ.get("SOCKET_COUNT", "1"))
    listeners = [socket.socket(fileno=_FIRST_LISTENER + number) for number in range(count)]
    for listener in listeners:
        listener.setblocking(False)
    status = struct.pack("@iII", os.getpid(), int(os.environ["GENERATION"]), int(os.environ["CLIENT_LIMIT"]))
    os.write(_STATUS_FD, status)
    await serve(listeners, Gate(Users(auth), exact), ended)


def main() -> int:
    """Entry point."""
    auth, exact = sys.argv[1:]
    asyncio.run(_run(auth, exact))
    return 0


if __name__ == "__main__":
    sys.exit(main())
