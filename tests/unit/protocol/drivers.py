"""The keeper and the taker of the model: loops that ask the protocol's code and carry out what it says.

They decide nothing themselves. `Protocol` is that code, as it is or with one line broken.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.timing import Timing
from appliance.coordination.store import Outcome
from appliance.ownership import decisions as say
from appliance.ownership.owner import Identity, Owner
from appliance.ownership.records import SessionSeen
from appliance.ownership.taker import Case, Fence, FenceKind, Sightings
from appliance.ownership.transactions import Move, Transaction
from tests.unit.protocol.clockwork import Body, Call, Clock, Do, Effect, Process, Sleep, World
from tests.unit.protocol.links import Keepalive, Link, ModelStore, View
from tests.unit.protocol.machines import FenceAgent, Machine


@dataclass(frozen=True)
class Protocol:
    """The code under test, and what a broken driver does otherwise."""

    owner: Any
    taker: Any
    identity: Callable[..., Identity]
    keepalives_count: bool = False
    wall_clock: bool = False

    def now(self, clock: Clock) -> float:
        """What the clock says that the protocol is driven by."""
        return clock.wall() if self.wall_clock else clock.read()


@dataclass
class Wishes:
    """What the operator wants and says."""

    placed: dict[GroupName, NodeName]
    #: The placement names the last node that would do, not the first.
    contrary: bool = False
    #: Nodes that answer no probes: no group is moved there.
    failing: dict[NodeName, float] = field(default_factory=dict)
    acknowledged: dict[GroupName, int] = field(default_factory=dict)


Steps = Generator[Effect, Any, Owner]


@dataclass
class Keeper:
    """One node's keeper."""

    machine: Machine
    store: ModelStore
    protocol: Protocol
    me: Identity
    wishes: Wishes
    storage_fence: bool
    outlives: bool
    #: For the owner's own promises: when the request was sent whose good answer counted last, in true time.
    last_good: float = 0.0
    answered_at: float = 0.0
    petted: list[tuple[float, float, float]] = field(default_factory=list)

    def now(self) -> float:
        return self.protocol.now(self.machine.clock)

    def body(self) -> Body:
        """Renew, look, take, drop."""
        owner, me, machine = self.protocol.owner, self.me, self.machine
        state, said = owner.begin()
        state = yield from self.carry_out(state, said)
        while True:
            began = self.now()
            state, said = owner.tick(state, self.now(), me)
            state = yield from self.carry_out(state, said)
            before = state.renewed
            state = yield from (self.open(state) if state.epoch is None else self.renew(state))
            while machine.finished:
                state = yield from self.finish(state, *machine.finished.pop(0))
            if state.renewed != before:
                state = yield from self.look(state)
                taking = any(holding.stage == "prepared" for holding in state.holdings.values())
                pause = 0.0 if taking else me.timing.renew - (self.now() - began)
            else:
                pause = 0.2
            yield Sleep(max(0.02, min(pause, self.until_deadline(state))))

    def until_deadline(self, state: Owner) -> float:
        ends: float | None = self.protocol.owner.deadline(state, self.me)
        return ends - self.now() if ends is not None and ends > self.now() else 1e9

    def ask(self, state: Owner, name: str, question: Callable[[], Any]) -> Call:
        return Call(name, question, self.protocol.owner.patience(state, self.now(), self.me))

    def commit(self, transaction: Transaction) -> Callable[[], Outcome]:
        return lambda: self.store.transact(transaction)

    # --- the session --------------------------------------------------------------------------------------

    def open(self, state: Owner) -> Steps:
        view: View | None = yield self.ask(state, "read", self.store.view)
        if view is None:
            return state
        opening = self.protocol.owner.opening(state, view.sessions.get(self.me.node), self.now(), self.me)
        if opening is None:
            return state
        state, transaction = opening
        if state.flight is None:
            yield self.ask(state, "close", self.commit(transaction))
            return state
        return (yield from self.await_answer(state, transaction))

    def renew(self, state: Owner) -> Steps:
        state, transaction = self.protocol.owner.renewal(state, self.now(), self.me)
        return (yield from self.await_answer(state, transaction))

    def await_answer(self, state: Owner, transaction: Transaction) -> Steps:
        sent, t0 = self.machine.world.now, state.flight.sent if state.flight else None
        outcome = yield self.ask(state, "renew", self.commit(transaction))
        if outcome is None and self.protocol.keepalives_count and state.epoch is not None:
            state, _ = self.protocol.owner.renewal(state, self.now(), self.me)
            outcome = yield self.ask(state, "keepalive", Keepalive())
        self.answered_at = self.machine.world.now
        state, said = self.protocol.owner.answered(state, outcome, self.now(), self.me)
        if outcome is not None and outcome.succeeded and t0 is not None:
            in_time = self.machine.clock.rate * (self.answered_at - sent) <= self.me.timing.reply
            self.last_good = sent if in_time else self.last_good
        return (yield from self.carry_out(state, said))

    # --- groups -------------------------------------------------------------------------------------------

    def look(self, state: Owner) -> Steps:
        view: View | None = yield self.ask(state, "read", self.store.view)
        if view is None:
            return state
        owner, me = self.protocol.owner, self.me
        preempts = frozenset(self.machine.volumes) if self.storage_fence else frozenset()
        outlives = preempts if self.outlives else frozenset()
        state, said = owner.seen(state, view.owners, me, preempts=preempts, outlives=outlives)
        state = yield from self.carry_out(state, said)
        for group in sorted(state.holdings):
            wanted = self.wishes.placed[group]
            if self.machine.volumes[group].refuses(me.node) and group in self.machine.mounted:
                state, said = owner.key_lost(state, group)
                state = yield from self.carry_out(state, said)
            if wanted != me.node and wanted in view.sessions and wanted not in self.wishes.failing:
                state, said = owner.move(state, group)
                state = yield from self.carry_out(state, said)
            state = yield from self.confirm(state, group)
            state = yield from self.hand_over(state, group, view.sessions.get(wanted))
        return state

    def confirm(self, state: Owner, group: GroupName) -> Steps:
        if group not in state.holdings:
            return state
        transaction = self.protocol.owner.confirmation(state, group, self.now(), self.me)
        if isinstance(transaction, say.Note):
            return state
        outcome = yield self.ask(state, "confirm", self.commit(transaction))
        state, said = self.protocol.owner.confirmed(state, group, outcome, self.now(), self.me)
        return (yield from self.carry_out(state, said))

    def hand_over(self, state: Owner, group: GroupName, to: SessionSeen | None) -> Steps:
        transaction = self.protocol.owner.handing_over(state, group, to, self.me)
        if transaction is None:
            return state
        outcome = yield self.ask(state, "hand over", self.commit(transaction))
        state, said = self.protocol.owner.handed_over(state, group, outcome)
        return (yield from self.carry_out(state, said))

    # --- carrying out -------------------------------------------------------------------------------------

    def carry_out(self, state: Owner, said: tuple[say.Decision, ...]) -> Steps:
        for decision in said:
            state = yield from self.one(state, decision)
        return state

    def one(self, state: Owner, decision: say.Decision) -> Steps:
        machine, owner = self.machine, self.protocol.owner
        match decision:
            case say.Clean():
                return (yield from self.clean(state))
            case say.PetWatchdog():
                yield Do("pet", self.pet)
            case say.DisarmWatchdog():
                yield Do("disarm", machine.disarm)
            case say.Prepare(group=group, key_epoch=epoch):
                yield Do("prepare", lambda: self.prepare(group, epoch))
                timeout = self.me.timing.watchdog if self.me.watchdog else None
                state, said = owner.prepared(state, group, self.now(), self.me, timeout=timeout)
                return (yield from self.carry_out(state, said))
            case say.Mount(group=group, preempt_below=below):
                yield Do("mount", lambda: machine.mount(group, below))
            case say.Drop(group=group):
                yield Do("drop", lambda: machine.end(group, "dropped"))
            case say.Stop(group=group):
                yield Do("stop", lambda: machine.end(group, "stopped"))
        return state

    def clean(self, state: Owner) -> Steps:
        yield Do("clean", self.machine.end_everything)
        waiting = set(self.machine.volumes)
        while waiting:
            yield Sleep(0.1)
            waiting -= {group for word, group in self.machine.finished if word == "cleaned"}
        self.machine.finished.clear()
        yield Do("disarm", self.machine.disarm)
        cleaned: Owner = self.protocol.owner.cleaned(state)
        return cleaned

    def prepare(self, group: GroupName, epoch: int) -> None:
        self.machine.volumes[group].register(self.machine.name, epoch)
        if self.me.watchdog and self.machine.fires_at is None and not self.outlives:
            self.machine.pet(self.me.timing.watchdog)

    def pet(self) -> None:
        self.petted.append((self.machine.world.now, self.last_good, self.answered_at))
        if self.machine.fires_at is not None:
            self.machine.pet(self.me.timing.watchdog)

    def finish(self, state: Owner, word: str, group: GroupName) -> Steps:
        owner = self.protocol.owner
        if word == "stopped":
            stopped: Owner = owner.stopped(state, group)
            return stopped
        if word == "dropped":
            state, said = owner.dropped(state, group)
            return (yield from self.carry_out(state, said))
        return state


@dataclass
class Mind:
    """What an observer remembers while it runs."""

    view: View | None = None
    read_at: float = 0.0
    seen: Sightings = field(default_factory=dict)
    fences: dict[GroupName, Fence] = field(default_factory=dict)
    failing: dict[NodeName, float] = field(default_factory=dict)
    reached: dict[NodeName, float] = field(default_factory=dict)


@dataclass
class Taker:
    """The other side: one observer with its own clock, restarted now and then with nothing remembered."""

    world: World
    clock: Clock
    link: Link
    store: ModelStore
    protocol: Protocol
    timing: Timing
    machines: Mapping[NodeName, Machine]
    agents: Mapping[NodeName, FenceAgent]
    fence_kind: FenceKind | None
    wishes: Wishes
    last: dict[GroupName, say.Decision] = field(default_factory=dict)
    mind: Mind = field(default_factory=Mind)
    process: Process | None = None

    def start(self) -> None:
        """Begin anew, nothing remembered."""
        if self.process is not None:
            self.process.kill()
        self.process = Process(self.world, self.clock, self.link.send, self.body()).start()

    def now(self) -> float:
        return self.protocol.now(self.clock)

    def body(self) -> Body:
        """Look, decide, act."""
        mind = self.mind = Mind()
        self.wishes.failing = mind.failing
        while True:
            answer: View | None = yield Call("read", self.store.watched, 1.5)
            if answer is not None:
                mind.view, mind.read_at = answer, self.now()
                mind.seen = self.protocol.taker.observe(mind.seen, answer.sessions, answer.owners, mind.read_at)
                for group, fence in mind.fences.items():
                    sighting = mind.seen.get(fence.node)
                    mind.fences[group] = self.protocol.taker.contradicted(fence, sighting, mind.read_at)
            self.probe(mind)
            if mind.view is not None:
                for group in self.wishes.placed:
                    yield from self.settle(self.case(group, mind.view, mind), mind.fences)
            yield Sleep(0.5)

    def probe(self, mind: Mind) -> None:
        for name, machine in self.machines.items():
            dumb = not machine.power or self.world.now < max(machine.frozen_until, machine.peers_cut_until)
            if dumb or machine.keeper is None:
                mind.failing.setdefault(name, self.now())
                mind.reached.pop(name, None)
            else:
                mind.failing.pop(name, None)
                mind.reached.setdefault(name, self.now())

    def case(self, group: GroupName, view: View, mind: Mind) -> Case:
        owner = view.owners.get(group)
        node = owner.record.node if owner else NodeName("")
        others = tuple(
            Move(other, self.target(name, view, mind))
            for name, other in view.owners.items()
            if owner is not None and name != group and _same_session(owner, other)
        )
        return Case(
            group=group,
            read_at=mind.read_at,
            owner=owner,
            session=view.sessions.get(node),
            sighting=mind.seen.get(node),
            others=others,
            target=self.target(group, view, mind),
            failing={NodeName(name): mind.failing[node] for name in "xy"} if node in mind.failing else {},
            reached=mind.reached.get(node),
            fence_kind=self.fence_kind,
            fence=mind.fences.get(group),
            acknowledged=self.wishes.acknowledged.get(group),
        )

    def target(self, group: GroupName, view: View, mind: Mind) -> SessionSeen | None:
        """A node that answers probes and has a session: the wanted one, or if it must be contrary another."""
        wanted, owner = self.wishes.placed[group], view.owners.get(group)
        for name in sorted(view.sessions, key=lambda each: (each == wanted) is self.wishes.contrary):
            owns = owner is not None and owner.record.session_epoch == view.sessions[name].epoch
            if name not in mind.failing and not owns:
                return view.sessions[name]
        return None

    def settle(self, case: Case, fences: dict[GroupName, Fence]) -> Body:
        decision = self.last[case.group] = self.protocol.taker.decide(case, self.now(), self.timing)
        match decision:
            case say.OrderFence(node=node):
                assert case.owner is not None
                assert self.fence_kind is not None
                key = case.owner.record.storage_key
                accepted, after = yield Do("fence", lambda: self.agents[node].order(case.group, key))
                yield Sleep(after)
                fences[case.group] = self.protocol.taker.ordered(
                    case.owner, self.fence_kind, self.now(), accepted=accepted
                )
            case say.VerifyFence(node=node):
                assert case.owner is not None
                key = case.owner.record.storage_key
                cut_off, after = yield Do("verify", lambda: self.agents[node].reading(case.group, key))
                yield Sleep(after)
                fences[case.group] = self.protocol.taker.verified(fences[case.group], cut_off, self.now())
            case say.Take(transaction=transaction):
                yield Call("take", lambda: self.store.transact(transaction), 3.0)


def _same_session(one: Any, other: Any) -> bool:
    return bool(
        (one.record.node, one.record.session_epoch) == (other.record.node, other.record.session_epoch)
        and other.record.stage == "confirmed"
    )
