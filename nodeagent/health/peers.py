"""Direct probes between agents: whether the other nodes answer, asked twice a second and not through the store.

Each node observes the few that follow it in the order of names, so that the work of a node does not grow
with the cluster and every node has several observers. What counts is told to the controllers as
an Observation; how long a silence lasts is theirs to count (docs/developers/cluster.md).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from appliance.cluster.model import Node
from appliance.cluster.names import NodeName, Seconds
from appliance.errors import PosthouseError
from nodeagent.health.peer_wire import PORT, Line, Listener, PeerTls, Shown

log = logging.getLogger("posthouse.agent")

#: A node observes so many others, and is observed by as many.
OBSERVED = 5
EVERY = Seconds(0.5)
DEADLINE = Seconds(0.5)
#: A verdict that comes so much later than its deadline says that this process stood still, not the other.
_OWN_STALL = Seconds(0.25)
#: Who said that it ends and comes back is given so long.
GRACE = Seconds(3.0)
_RETRY = Seconds(1.0)
_KEYS_EVERY = Seconds(10.0)


def observed_by(me: NodeName, names: Collection[NodeName], most: int = OBSERVED) -> tuple[NodeName, ...]:
    """Whom `me` observes: the next ones in the ring of sorted names. Pure."""
    ring = sorted({*names, me})
    at = ring.index(me)
    return tuple((ring[at + 1 :] + ring[:at])[:most])


@dataclass
class Sight:
    """What is known of one other node. `answers` is None until the first verdict."""

    answers: bool | None = None
    excused_until: float = 0.0

    def after(self, answered: bool, began: float, now: float) -> bool | None:
        """The verdict after a question that was begun at `began` (monotonic seconds). Pure."""
        if answered:
            return True
        if now - began > DEADLINE + _OWN_STALL or now < self.excused_until:
            return self.answers
        return False


class Peers:
    """Runs in the agent's event loop. `changed` is called with the nodes that answer nothing, first when each
    was asked once, then whenever the set changes."""

    def __init__(
        self, me: NodeName, tls: PeerTls, changed: Callable[[frozenset[NodeName]], None], port: int = PORT
    ) -> None:
        self._me = me
        self._tls = tls
        self._changed = changed
        self._port = port
        self._nodes: Mapping[NodeName, Node] = {}
        self._sights: dict[NodeName, Sight] = {}
        self._tasks: dict[tuple[NodeName, str], asyncio.Task[None]] = {}
        self._told: frozenset[NodeName] | None = None
        self._listening: tuple[str, asyncio.Task[None]] | None = None
        self._revoked: frozenset[str] = frozenset()
        self._listener = Listener(tls, self._knows, port)

    def follow(
        self, nodes: Mapping[NodeName, Node], address: str | None, revoked: frozenset[str] = frozenset()
    ) -> None:
        """The nodes there are now, where this one is reached, and the serial numbers of certificates that are nobody's
        any more; returns at once."""
        self._nodes = nodes
        self._revoked = revoked
        self._listener.look_again()
        self._listen_on(address)
        others = {name: str(node.address) for name, node in nodes.items() if node.address and name != self._me}
        wanted = {(name, others[name]) for name in observed_by(self._me, others)} if address else set()
        for gone in self._tasks.keys() - wanted:
            self._tasks.pop(gone).cancel()
        for name in self._sights.keys() - {name for name, _ in wanted}:
            del self._sights[name]
        for name, where in wanted - self._tasks.keys():
            sight = self._sights[name] = Sight()
            self._tasks[name, where] = asyncio.create_task(self._observe(name, where, sight))
        self._tell()

    def _knows(self, other: Shown) -> bool:
        return other.name in self._nodes and other.serial not in self._revoked

    @property
    def answers(self) -> Mapping[NodeName, bool | None]:
        """The latest verdicts."""
        return {name: sight.answers for name, sight in self._sights.items()}

    async def close(self) -> None:
        """Take leave, so that an agent that is only restarted is missed by nobody."""
        tasks = [*self._tasks.values(), *([self._listening[1]] if self._listening else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listener.close()

    def _listen_on(self, address: str | None) -> None:
        if self._listening is not None:
            if self._listening[0] == address:
                return
            self._listening[1].cancel()
        self._listening = (address, asyncio.create_task(self._listen(address))) if address else None

    async def _listen(self, address: str) -> None:
        """Listen as soon as that is possible, and look for new keys now and then."""
        await self._listener.close()
        problem, opened = "", False
        while True:
            try:
                self._tls.refresh()
                if not opened:
                    await self._listener.open(address)
                    opened = True
                    log.info("other agents are answered on %s, port %d", address, self._port)
                problem = ""
            except (OSError, PosthouseError) as error:
                if str(error) != problem:
                    problem = str(error)
                    log.error("other agents cannot be answered on %s, it is tried again: %s", address, error)
            await asyncio.sleep(_RETRY if problem else _KEYS_EVERY)

    async def _observe(self, name: NodeName, address: str, sight: Sight) -> None:
        line: Line | None = None
        due = asyncio.get_running_loop().time()
        try:
            while True:
                began = time.monotonic()
                line, answered = await self._ask(name, address, sight, line)
                verdict = sight.after(answered, began, time.monotonic())
                if verdict != sight.answers:
                    log.info("node %s %s", name, "answers" if verdict else "does not answer")
                    sight.answers = verdict
                    self._tell()
                now = asyncio.get_running_loop().time()
                due = max(due + EVERY, now + EVERY / 5)
                await asyncio.sleep(due - now)
        finally:
            if line is not None:
                line.transport.abort()

    async def _ask(self, name: NodeName, address: str, sight: Sight, line: Line | None) -> tuple[Line | None, bool]:
        """One question on the line, or on a new one; the line to go on with, and whether there was an answer."""
        try:
            async with asyncio.timeout(DEADLINE):
                if line is None:
                    line = await Line.open(name, address, self._tls, self._port, self._knows)
                await line.ask()
        except (OSError, TimeoutError):
            if line is not None:
                if line.said_bye:
                    sight.excused_until = time.monotonic() + GRACE
                line.transport.abort()
            return None, False
        sight.excused_until = 0.0
        return line, True

    def _tell(self) -> None:
        if any(sight.answers is None for sight in self._sights.values()):
            return
        unanswered = frozenset(name for name, sight in self._sights.items() if not sight.answers)
        if unanswered != self._told:
            self._told = unanswered
            self._changed(unanswered)
