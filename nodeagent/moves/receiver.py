"""`python -m nodeagent.moves.receiver`: takes mailboxes in that come from other nodes, for the groups of this one.

Runs beside the agent (`posthouse-moves.service`): gigabytes go through it, and the agent has to answer within half a
second. What is received is written by a unit of the group (reception.py); here is only the way to it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import sys
from typing import Final

from pydantic import ValidationError

from appliance.cluster.model import Role
from appliance.cluster.names import Seconds
from appliance.coordination import connect
from appliance.errors import PosthouseError
from appliance.mailbox_move import locks
from appliance.node_file import NodeFile
from appliance.off_loop import off_loop
from nodeagent.health.peer_wire import PeerTls, Shown, who
from nodeagent.identity import identity
from nodeagent.moves import reception, wire
from nodeagent.moves.admission import Admission, Refused
from nodeagent.moves.wire import Answer, Ending, Mode, Request

log = logging.getLogger("posthouse.moves")

#: Connections at once; further ones are closed at once.
_MOST: Final = 16
_KEYS_EVERY: Final = Seconds(10.0)
_RETRY: Final = Seconds(1.0)
#: A receiving side that ended by a signal, or was never there.
_KILLED: Final = 255
#: For a program to end after its line was closed.
_FAREWELL: Final = Seconds(5.0)
_DAY: Final = Seconds(86_400.0)


class Receiver:
    """Serves until cancelled. At most one connection at a time receives a mailbox: a later one ends the one before."""

    def __init__(self, admission: Admission, tls: PeerTls, port: int = wire.PORT) -> None:
        self._admission = admission
        self._tls = tls
        self._port = port
        self._open = 0
        self._receiving: dict[str, asyncio.Task[None]] = {}

    async def serve(self, address: str) -> None:
        """Listen as soon as that is possible, and look for new keys now and then."""
        server: asyncio.Server | None = None
        problem = ""
        try:
            while True:
                try:
                    self._tls.refresh()
                    server = server or await self._listen(address)
                    problem = ""
                except (OSError, PosthouseError) as error:
                    if str(error) != problem:
                        problem = str(error)
                        log.error("mailboxes cannot be taken in on %s, it is tried again: %s", address, error)
                await asyncio.sleep(_RETRY if problem else _KEYS_EVERY)
        finally:
            if server is not None:
                server.close()

    async def _listen(self, address: str) -> asyncio.Server:
        return await asyncio.start_server(
            self._connected,
            address,
            self._port,
            ssl=self._tls.server,
            limit=wire.BUFFER,
            ssl_handshake_timeout=wire.PATIENCE,
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        shown = who(writer.transport)
        peer = shown.name
        try:
            if self._open <= _MOST:
                wire.tend(writer)
                async with asyncio.timeout(_DAY):
                    await self._serve(shown, reader, writer)
        except (OSError, TimeoutError, PosthouseError) as error:
            log.warning("a connection of %s has ended: %s", peer or "?", error)
        except Exception:
            log.exception("a connection of %s has ended", peer or "?")
        finally:
            self._open -= 1
            writer.close()

    async def _serve(self, shown: Shown, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = Request.model_validate_json(await wire.heard(reader))
        except (ValidationError, PosthouseError):
            log.warning("%s sent a request that cannot be read", shown.name or "?")
            return
        try:
            await off_loop(self._admission.require, request, shown)
            if request.mode is not Mode.ASK:
                if await self._alone(request):  # that took its time: the mailbox may be in use here by now
                    await off_loop(self._admission.require, request, shown)
                await self._take(request, reader, writer)
                return
        except PosthouseError as error:
            level = logging.WARNING if isinstance(error, Refused) else logging.ERROR
            log.log(level, "%s of %s refused to %s: %s", request.mode, request.id, shown.name or "?", error)
            facts = {name: str(value) for name, value in error.facts.items()}
            await wire.say(writer, Answer(refused=error.key, facts=facts))
            return
        await wire.say(writer, Answer())

    async def _take(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Raises PosthouseError as long as nothing was answered."""
        with locks.held(request.id, request.address):
            await off_loop(reception.make_ready, request.target, request.id, request.mode)
            await wire.say(writer, Answer())
            await wire.say(writer, Ending(status=await self._receive(request, reader, writer)))

    async def _alone(self, request: Request) -> bool:
        """End the connection that receives this mailbox now; this one takes its place. Whether there was one."""
        mine = asyncio.current_task()
        before = self._receiving.get(request.id)
        assert mine is not None
        self._receiving[request.id] = mine
        mine.add_done_callback(functools.partial(self._done, request.id))
        if before is not None:
            before.cancel()
            await asyncio.wait([before])
        return before is not None

    def _done(self, mailbox_id: str, task: asyncio.Task[None]) -> None:
        if self._receiving.get(mailbox_id) is task:
            del self._receiving[mailbox_id]

    async def _receive(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        log.info("%s: %s of mailbox %s", request.target, request.mode, request.id)
        program = await asyncio.create_subprocess_exec(
            *reception.command(request.target, request.id, request.mode),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=wire.BUFFER,
        )
        assert program.stdin is not None
        assert program.stdout is not None
        receiving = asyncio.create_task(wire.receive(reader, program.stdin))
        sending = asyncio.create_task(wire.send(program.stdout, writer))
        try:
            # what was not sent at all ends the program as well: its input is closed
            await asyncio.wait([receiving, sending], return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                receiving.result()
            await sending
            async with asyncio.timeout(_FAREWELL):
                return _status(await program.wait())
        finally:
            for task in (receiving, sending):
                task.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)
            if program.returncode is None:
                await self._end(request, program)

    async def _end(self, request: Request, program: asyncio.subprocess.Process) -> None:
        """Nobody listens any more: end the unit, not only what waits for it."""
        try:
            await off_loop(reception.end, request.target, request.id)
        except PosthouseError as error:
            log.error("%s", error)
        if program.returncode is None:
            program.kill()
            await program.wait()


def _status(code: int) -> int:
    return code if 0 <= code < _KILLED else _KILLED


async def _serve(node: NodeFile) -> None:
    if node.address is None or node.roles == {Role.WITNESS}:
        return  # alone, until it becomes a node of a cluster and this is started again; or no place for mail at all
    receiver = Receiver(Admission(node.name, functools.partial(connect, node)), PeerTls())
    serving = asyncio.create_task(receiver.serve(str(node.address)))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    await asyncio.gather(serving, return_exceptions=True)


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    asyncio.run(_serve(identity(log)))


if __name__ == "__main__":
    main()
