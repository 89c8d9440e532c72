"""A node's keeper without volumes: the session, confirmations and hand-overs of the protocol, in a thread.

It runs appliance.ownership.owner as the real keeper does; mounting and stopping are lines in a list.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field

from appliance.clock import boottime
from appliance.cluster import keys
from appliance.cluster.decided import Placement
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.timing import FenceMode, Timing
from appliance.coordination.store import Outcome, Store, StoreUnavailable
from appliance.ownership import owner
from appliance.ownership.decisions import Decision, Drop, Mount, Note, Prepare, Stop
from appliance.ownership.owner import Identity, Owner, Stage
from appliance.ownership.records import SessionSeen, owner_seen, session_seen
from appliance.ownership.transactions import Transaction


@dataclass
class FakeKeeper:
    """`silence` publishes a watchdog; `idle`: it takes up nothing that it is granted."""

    node: NodeName
    store: Store
    timing: Timing
    silence: bool = False
    idle: bool = False
    mounted: set[GroupName] = field(default_factory=set)
    _state: Owner = field(default_factory=Owner)
    _ended: threading.Event = field(default_factory=threading.Event)
    _frozen: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> FakeKeeper:
        mode = FenceMode.WATCHDOG if self.silence else FenceMode.FENCED
        self.me = Identity(self.node, "boot", f"machine {self.node}", self.timing, mode, self.silence)
        self._state = owner.cleaned(owner.begin()[0])
        self._ended, self._frozen = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def die(self) -> None:
        """As in a power cut: nothing more is renewed, nothing is given back."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.mounted.clear()

    @property
    def epoch(self) -> int | None:
        return self._state.epoch

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(StoreUnavailable):
                self._step()
            self._ended.wait(0.05)

    def _send(self, transaction: Transaction) -> Outcome | None:
        try:
            return transaction.send(self.store, self.timing.reply)
        except StoreUnavailable:
            return None

    def _step(self) -> None:
        now = boottime()
        self._do(owner.tick(self._state, now, self.me))
        if self._state.epoch is None:
            self._open()
        elif self._state.renewed is None or now - self._state.renewed >= self.timing.renew:
            self._state, renewal = owner.renewal(self._state, boottime(), self.me)
            self._do(owner.answered(self._state, self._send(renewal), boottime(), self.me))
        if self._state.epoch is not None:
            self._look()

    def _open(self) -> None:
        record = self.store.get(keys.session(self.node))
        opening = owner.opening(self._state, session_seen(record) if record else None, boottime(), self.me)
        if opening is None:
            return
        self._state, transaction = opening
        outcome = self._send(transaction)
        if self._state.flight is not None:
            self._do(owner.answered(self._state, outcome, boottime(), self.me))

    def _look(self) -> None:
        owners = {seen.record.group: seen for seen in map(owner_seen, self.store.list(keys.OWNERS)[0])}
        self._do(owner.seen(self._state, owners, self.me))
        for group in list(self._state.holdings):
            record = self.store.get(keys.placement(group))
            goal = Placement.model_validate_json(record.value).node if record else self.node
            if goal != self.node:
                self._do(owner.move(self._state, group))
            self._confirm(group)
            self._hand_over(group, goal)

    def _confirm(self, group: GroupName) -> None:
        if self.idle or self._state.holdings[group].stage is not Stage.PREPARED:
            return
        transaction = owner.confirmation(self._state, group, boottime(), self.me)
        if not isinstance(transaction, Note):
            self._do(owner.confirmed(self._state, group, self._send(transaction), boottime(), self.me))

    def _hand_over(self, group: GroupName, goal: NodeName | None) -> None:
        if group not in self._state.holdings or self._state.holdings[group].stage is not Stage.STOPPED:
            return
        to: SessionSeen | None = None
        if goal is not None:
            record = self.store.get(keys.session(goal))
            if record is None:
                return
            to = session_seen(record)
        transaction = owner.handing_over(self._state, group, to, self.me)
        if transaction is not None:
            self._do(owner.handed_over(self._state, group, self._send(transaction)))

    def _do(self, step: tuple[Owner, tuple[Decision, ...]]) -> None:
        self._state, decisions = step
        for decision in decisions:
            match decision:
                case Prepare(group=group):
                    timeout = self.timing.watchdog if self.silence else None
                    self._do(owner.prepared(self._state, group, boottime(), self.me, timeout=timeout))
                case Mount(group=group):
                    self.mounted.add(group)
                case Stop(group=group):
                    self.mounted.discard(group)
                    self._state = owner.stopped(self._state, group)
                case Drop(group=group):
                    self.mounted.discard(group)
                    self._do(owner.dropped(self._state, group))
