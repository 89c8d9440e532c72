"""The store as its clients meet it: behind links that delay, lose and cut; without a quorum; lying about leases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName
from appliance.coordination.store import Outcome, Record
from appliance.ownership.records import OwnerSeen, SessionSeen, owner_seen, session_seen
from appliance.ownership.transactions import Transaction
from tests.unit.protocol.clockwork import World
from tests.unit.settings.memory_store import MemoryStore


@dataclass(frozen=True)
class Keepalive:
    """Asks for more life of a lease: no quorum writes anything, one member answers."""

    def __call__(self) -> Outcome:
        return Outcome(True, 0)


@dataclass(frozen=True)
class View:
    """Sessions and owners at one revision."""

    sessions: dict[NodeName, SessionSeen]
    owners: dict[GroupName, OwnerSeen]


class ModelStore:
    """Guarded transactions with a quorum, and reads that can be held back as a stalled watch holds them back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.records = MemoryStore()
        self.no_quorum_until = 0.0
        self.held_until = 0.0
        self._held: View | None = None
        self._parsed: dict[tuple[str, int], Any] = {}
        self._view: tuple[int, View] | None = None

    def transact(self, transaction: Transaction) -> Outcome:
        """Commit, or refuse by the guards."""
        return self.records.transact(transaction.guards, transaction.changes)

    def view(self) -> View:
        """A linearizable read."""
        if self._view is not None and self._view[0] == self.records.revision:
            return self._view[1]
        records = self.records.records.values()
        view = View(
            {seen.record.node: seen for seen in map(self._session, _below(keys.SESSIONS, records))},
            {seen.record.group: seen for seen in map(self._owner, _below(keys.OWNERS, records))},
        )
        self._view = self.records.revision, view
        return view

    def watched(self) -> View:
        """What a watch has delivered: the truth, or for a while what was true before."""
        if self.world.now >= self.held_until or self._held is None:
            return self.view()
        return self._held

    def hold_watches(self, seconds: float) -> None:
        """From now on watches are silent, and what was delivered grows old."""
        self._held = self.view()
        self.held_until = self.world.now + seconds

    def lose_key(self, node: NodeName) -> None:
        """A stale leader lets a healthy session's lease end: the key is gone and nobody renewed too late."""
        self.records.delete(keys.session(node))

    def _session(self, record: Record) -> SessionSeen:
        seen: SessionSeen = self._remember(record, session_seen)
        return seen

    def _owner(self, record: Record) -> OwnerSeen:
        seen: OwnerSeen = self._remember(record, owner_seen)
        return seen

    def _remember(self, record: Record, parse: Callable[[Record], Any]) -> Any:
        place = (record.key, record.mod_revision)
        if place not in self._parsed:
            self._parsed[place] = parse(record)
        return self._parsed[place]


def _below(prefix: str, records: Any) -> list[Record]:
    return [record for record in records if record.key.startswith(prefix)]


@dataclass
class Link:
    """One client's way to the store. Times are true time."""

    world: World
    store: ModelStore
    cut_until: float = 0.0
    stale_until: float = 0.0
    slow_until: float = 0.0
    request_takes: float = 0.0
    reply_takes: float = 0.0
    base: float = field(default=0.003)

    def cut(self, seconds: float) -> None:
        """Nothing passes in either direction."""
        self.cut_until = max(self.cut_until, self.world.now + seconds)

    def leave_to_a_stale_leader(self, seconds: float) -> None:
        """Nothing is committed, and the member at the other end goes on answering keepalives."""
        self.stale_until = self.world.now + seconds

    def slow(self, seconds: float, request: float, reply: float) -> None:
        """For a while requests and replies take longer; a request that is late is still carried out."""
        self.slow_until = self.world.now + seconds
        self.request_takes, self.reply_takes = request, reply

    def heal(self) -> None:
        """As new."""
        self.cut_until = self.slow_until = self.stale_until = 0.0

    def send(self, question: Callable[[], Any], arrived: Callable[[Any], None]) -> None:
        """Carry a question to the store and its answer back."""
        if self.world.now < self.cut_until:
            return
        if self.world.now < self.stale_until:
            if isinstance(question, Keepalive):
                self.world.later(self.base, lambda: arrived(question()))
            return
        slow = self.world.now < self.slow_until
        request, reply = (self.request_takes, self.reply_takes) if slow else (0.0, 0.0)

        def reach() -> None:
            if self.world.now < self.store.no_quorum_until:
                return
            answer = question()
            self.world.later(self.base + reply, lambda: deliver(answer))

        def deliver(answer: Any) -> None:
            if self.world.now >= self.cut_until:
                arrived(answer)

        self.world.later(self.base + request, reach)
