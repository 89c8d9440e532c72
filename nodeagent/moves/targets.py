"""Where a mailbox goes: a group on this node, or one that another node owns."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from appliance.cluster import keys
from appliance.cluster.model import Node, OwnershipStage
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Store
from appliance.directory.model import Mailbox
from appliance.errors import PosthouseError, Unavailable
from appliance.mailbox_move import mirror, rest
from appliance.mailbox_move.move import Target
from appliance.ownership.records import owner_seen
from nodeagent.health.peer_wire import PeerTls, who
from nodeagent.moves import reception, wire
from nodeagent.moves.wire import Answer, Ending, Mode, Request


def find(store: Store, me: NodeName, mailbox: Mailbox, target: GroupName) -> Target:
    """The group as it is reached now. Raises Unavailable when nobody serves it, StoreUnavailable."""
    record = store.get(keys.owner(target))
    owner = owner_seen(record).record if record is not None else None
    if owner is None or owner.stage is not OwnershipStage.CONFIRMED:
        raise Unavailable("move-group-not-there", group=target)
    if owner.node == me:
        return Here(mailbox, target)
    found = store.get(keys.node(owner.node))
    node = Node.model_validate_json(found.value) if found is not None else None
    if node is None or node.address is None:
        raise Unavailable("move-group-not-there", group=target)
    return There(mailbox, target, node.name, str(node.address))


class Here(Target):
    """The group is on this node."""

    def __init__(self, mailbox: Mailbox, group: GroupName) -> None:
        self.group = group
        self._mailbox = mailbox

    def require(self) -> None:
        reception.require_here(self.group)

    def copy(self, source: Path, deadline: Seconds, lock: int, *, at_rest: bool) -> None:
        reception.make_ready(self.group, self._mailbox.id, Mode.COPY)
        mirror.copy(source, self._carrier(Mode.COPY), deadline, lock, at_rest=at_rest)

    def differences(self, source: Path, deadline: Seconds, lock: int) -> list[str]:
        reception.make_ready(self.group, self._mailbox.id, Mode.COMPARE)
        return mirror.differences(source, self._carrier(Mode.COMPARE), deadline, lock)

    def await_served(self, patience: Seconds) -> None:
        rest.await_served(self.group, self._mailbox, patience)

    def _carrier(self, mode: Mode) -> mirror.Carrier:
        def carry(source: int, sink: int, deadline: Seconds) -> int:
            self.require()
            words = reception.command(self.group, self._mailbox.id, mode)
            try:
                done = subprocess.run(words, stdin=source, stdout=sink, stderr=None, timeout=deadline, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                reception.end(self.group, self._mailbox.id)
                raise Unavailable("program-failed", program="rsync", detail=str(error)) from error
            return done.returncode

        return carry


class There(Target):
    """Another node owns the group: its receiver (receiver.py) is spoken to."""

    def __init__(self, mailbox: Mailbox, group: GroupName, node: NodeName, address: str, port: int = wire.PORT) -> None:
        self.group = group
        self._mailbox = mailbox
        self._node = node
        self._address = address
        self._port = port
        self._tls = PeerTls()

    def require(self) -> None:
        async def ask() -> None:
            async with self._asked(Mode.ASK):
                return

        asyncio.run(ask())

    def copy(self, source: Path, deadline: Seconds, lock: int, *, at_rest: bool) -> None:
        mirror.copy(source, self._carrier(Mode.COPY), deadline, lock, at_rest=at_rest)

    def differences(self, source: Path, deadline: Seconds, lock: int) -> list[str]:
        return mirror.differences(source, self._carrier(Mode.COMPARE), deadline, lock)

    def await_served(self, patience: Seconds) -> None:
        """The agent there has caches forget what changed, within a second."""

    def _carrier(self, mode: Mode) -> mirror.Carrier:
        def carry(source: int, sink: int, deadline: Seconds) -> int:
            try:
                return asyncio.run(self._carry(mode, source, sink, deadline))
            except (OSError, TimeoutError, ValidationError) as error:
                raise self._away(error) from error

        return carry

    async def _carry(self, mode: Mode, source: int, sink: int, deadline: Seconds) -> int:
        async with asyncio.timeout(deadline), self._asked(mode) as (reader, writer):
            sending = asyncio.create_task(_send(source, writer))
            try:
                await wire.receive(reader, await _writing(sink))
                return Ending.model_validate_json(await wire.heard(reader)).status
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    @asynccontextmanager
    async def _asked(self, mode: Mode) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection on which the other node has agreed to the move. Raises Unavailable."""
        self._tls.refresh()
        try:
            async with asyncio.timeout(wire.PATIENCE):
                reader, writer = await asyncio.open_connection(
                    self._address, self._port, ssl=self._tls.client, limit=wire.BUFFER
                )
        except (OSError, TimeoutError) as error:
            raise self._away(error) from error
        try:
            wire.tend(writer)
            if (there := who(writer.transport).name) != self._node:
                raise self._away(ConnectionRefusedError(f"{self._address}: {there or '?'}"))
            mailbox = self._mailbox
            request = Request(
                mode=mode,
                source=GroupName(mailbox.group),
                target=self.group,
                address=mailbox.address,
                id=mailbox.id,
            )
            try:
                await wire.say(writer, request)
                answer = Answer.model_validate_json(await wire.heard(reader))
            except (OSError, ValidationError) as error:
                raise self._away(error) from error
            if answer.refused:
                raise Unavailable(answer.refused, **answer.facts)
            yield reader, writer
        finally:
            writer.transport.abort()

    def _away(self, error: BaseException) -> PosthouseError:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        return Unavailable("move-node-away", node=self._node, group=self.group, detail=detail)


async def _send(source: int, writer: asyncio.StreamWriter) -> None:
    """What rsync says; when the other side has heard enough, its ending tells why."""
    reader = asyncio.StreamReader(wire.BUFFER)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), _file(source, "rb")
    )
    with suppress(BrokenPipeError, ConnectionResetError):
        await wire.send(reader, writer)


async def _writing(sink: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(loop), _file(sink, "wb")
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _file(handle: int, mode: str) -> IO[bytes]:
    """A file of its own over the same line: the transport closes it."""
    return os.fdopen(os.dup(handle), mode, buffering=0)
