"""Shared groups on this node: what appliance.ownership.owner decides, carried out.

Everything here runs in the keeper's loop and returns at once. What takes time is asked of `writes` (the store) and
of one worker for each group (kill, mount, addresses), whose answers come back into the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from appliance.clock import boottime
from appliance.cluster.model import ServiceGroup
from appliance.cluster.names import GroupName, Seconds
from appliance.coordination.store import Outcome, Store
from appliance.errors import PosthouseError
from appliance.ownership import decisions as say
from appliance.ownership import owner
from appliance.ownership.owner import Identity, Owner, Stage
from appliance.ownership.records import SessionSeen
from appliance.ownership.transactions import Transaction
from nodeagent.ownership import memory
from nodeagent.ownership.chronicle import Chronicle
from nodeagent.ownership.follow import View
from nodeagent.ownership.forks import Forks
from nodeagent.ownership.lane import Post, StoreLane
from nodeagent.ownership.watchdog import Watchdog
from nodeagent.ownership.worker import GroupWorker, Taking, Word
from nodeagent.resources.cgroups import populated_groups

log = logging.getLogger("posthouse.keeper")

#: A stop takes seconds. One that takes so long hangs, like the volume that it cannot unmount; the leading controller
#: gives a move the same time before it fences (controller.move_patience).
STOP_HANGS = Seconds(60.0)


class Shared:
    """The protocol's state and its hands. `me` may be replaced while nothing is held."""

    def __init__(
        self,
        me: Identity,
        post: Post,
        *,
        writes: StoreLane,
        forks: Forks,
        watchdog: Watchdog,
        chronicle: Chronicle,
    ) -> None:
        self.me = me
        self.state = Owner()
        self.view = View(0)
        #: The store's revision after this node's last own write: an older look is older than what is known.
        self.written = 0
        #: What the loop is asked for: a renewal, or a look at the store, that waits for nothing.
        self.renew_now = self.look_now = False
        self._post = post
        self._writes = writes
        self._forks = forks
        self._watchdog = watchdog
        self._chronicle = chronicle
        self._workers: dict[GroupName, GroupWorker] = {}
        self._cleaning: dict[GroupName, GroupWorker] = {}
        self._asked: set[GroupName] = set()
        #: Since when groups are being stopped, on CLOCK_BOOTTIME.
        self._stopping: dict[GroupName, float] = {}
        self._exclusive: frozenset[GroupName] = frozenset()
        self._leaving = False

    # --- what the loop says -------------------------------------------------------------------------------

    def begin(self, exclusive: frozenset[GroupName]) -> None:
        """End whatever a keeper before this one may have left of any group that is not `exclusive`."""
        self.state, said = owner.begin()
        self._exclusive = exclusive
        self._carry_out(said)

    def tick(self) -> None:
        """Drop what must not be held any longer."""
        now = boottime()
        self._step(owner.tick(self.state, now, self.me))
        for group, since in list(self._stopping.items()):
            if now - since >= STOP_HANGS:
                self._step(owner.stop_hangs(self.state, group))

    def answered(self, outcome: Outcome | None) -> None:
        """The renewal in flight ended."""
        self._step(owner.answered(self.state, outcome, boottime(), self.me))

    def look(self, view: View, exclusive: frozenset[GroupName]) -> None:
        """Take and give up what the store says."""
        self.view = view
        if view.revision < self.written or self._leaving:
            return
        holdings = self.state.holdings
        ends = owner.deadline(self.state, self.me)
        in_time = ends is None or boottime() < ends  # else it would be dropped at once, again and again
        owners = {
            name: seen
            for name, seen in view.owners.items()
            if name in holdings or (in_time and name not in exclusive and self._may_be_here(view.groups.get(name)))
        }
        preempts = frozenset(name for name, group in view.groups.items() if group is not None and _keyed(group))
        self._step(owner.seen(self.state, owners, self.me, preempts=preempts))
        for group in list(self.state.holdings):
            if self._wanted_elsewhere(group):
                self._step(owner.move(self.state, group))
            else:
                self._readdress(group, view.groups.get(group))

    def _readdress(self, group: GroupName, desired: ServiceGroup | None) -> None:
        """Other addresses count at once, as soon as it serves."""
        worker = self._workers[group]
        if desired is not None and worker.serving and desired.addresses != worker.group.addresses:
            worker.readdress(desired)

    def _may_be_here(self, group: ServiceGroup | None) -> bool:
        """Whether it can be read, and is not another node's own folder: a grant may be older than that it became so."""
        if group is None:
            return False
        return not any(group.held_exclusively_by(node) for node in group.candidates if node != self.me.node)

    def act(self) -> None:
        """Confirm what is prepared, hand over what is stopped."""
        for group, holding in list(self.state.holdings.items()):
            if group in self._asked:
                continue
            if holding.stage is Stage.PREPARED:
                self._confirm(group)
            elif holding.stage is Stage.STOPPED:
                self._hand_over(group)

    def announce(self) -> None:
        """Tell the neighbours again where the addresses of what is served are."""
        for worker in self._workers.values():
            worker.announce()

    def leave(self) -> None:
        """Stop everything in order, for good: this keeper is to end."""
        self._leaving = True
        for group in list(self.state.holdings):
            self._step(owner.move(self.state, group))

    @property
    def known(self) -> frozenset[GroupName]:
        """Groups whose processes are a worker's matter, not the sweep's."""
        return frozenset(self._workers.keys() | self._cleaning.keys())

    @property
    def settled(self) -> bool:
        """Nothing is on its way: what is held is served, and serves where it is wanted."""
        stages = {holding.stage for holding in self.state.holdings.values()}
        return self.state.clean and stages <= {Stage.CONFIRMED} and not any(map(self._misplaced, self.state.holdings))

    def report(self) -> dict[str, Any]:
        """For people: how far each group is, what it waits for, what failed last."""
        found: dict[str, Any] = {}
        for group, worker in self._cleaning.items():
            found[group] = {"stage": "cleaning", "waits_for": "give", "fault": _fault(worker)}
        for group, holding in self.state.holdings.items():
            worker = self._workers[group]
            found[group] = {
                "stage": holding.stage.value,
                "serving": worker.serving,
                "waits_for": _WAITS[holding.stage] if not worker.serving else None,
                "fault": _fault(worker),
                "epoch": holding.epoch,
                "basis": holding.basis,
                "volume_changed": self._volume_changed(group),
            }
        return found

    def _volume_changed(self, group: GroupName) -> bool:
        """Whether its volumes should be others than those that are mounted: that counts when it is taken next."""
        desired, here = self.view.groups.get(group), self._workers[group].group
        return desired is not None and (desired.volume, desired.extra_volumes) != (here.volume, here.extra_volumes)

    # --- placement ----------------------------------------------------------------------------------------

    def _misplaced(self, group: GroupName) -> bool:
        """It should not be here. What cannot be read asks for nothing."""
        if group not in self.view.groups:
            return True
        placement = self.view.placements.get(group)
        return placement is not None and placement.node != self.me.node

    def _wanted_elsewhere(self, group: GroupName) -> bool:
        """It should not be here, and whoever should have it can take it."""
        placement = self.view.placements.get(group)
        node = placement.node if placement is not None else None
        return self._misplaced(group) and (node is None or node in self.view.sessions)

    def _receiver(self, group: GroupName) -> SessionSeen | None:
        placement = self.view.placements.get(group)
        if group not in self.view.groups or placement is None or placement.node is None:
            return None
        if self._leaving and placement.node == self.me.node:
            return None
        return self.view.sessions.get(placement.node)

    # --- the store ----------------------------------------------------------------------------------------

    def _confirm(self, group: GroupName) -> None:
        transaction = owner.confirmation(self.state, group, boottime(), self.me)
        if isinstance(transaction, say.Note):
            if transaction.reason is say.Reason.RENEWAL_OLDER_THAN_WATCHDOG:
                self.renew_now = True
            return

        def answered(outcome: Outcome | None) -> None:
            self._wrote(group, outcome)
            self._step(owner.confirmed(self.state, group, outcome, boottime(), self.me))

        self._send(group, transaction, answered)

    def _hand_over(self, group: GroupName) -> None:
        to = self._receiver(group)
        transaction = owner.handing_over(self.state, group, to, self.me)
        if transaction is None:
            return

        def answered(outcome: Outcome | None) -> None:
            self._wrote(group, outcome)
            self._step(owner.handed_over(self.state, group, outcome))
            self._dismiss(group)
            if outcome is not None and outcome.succeeded:
                if to is None:
                    self._event("event-group-given-up", group)
                else:
                    self._event("event-group-handed-over", group, to=to.record.node)

        self._send(group, transaction, answered)

    def _send(self, group: GroupName, transaction: Transaction, answered: Callable[[Outcome | None], None]) -> None:
        self._asked.add(group)
        patience = owner.patience(self.state, boottime(), self.me)

        def send(store: Store) -> Outcome:
            return transaction.send(store, patience)

        self._writes.ask(send, answered)

    def _wrote(self, group: GroupName, outcome: Outcome | None) -> None:
        self._asked.discard(group)
        if outcome is not None and outcome.succeeded:
            self.written = max(self.written, outcome.revision)

    # --- what was decided ---------------------------------------------------------------------------------

    def _step(self, step: owner.Step) -> None:
        self.state, said = step
        self._carry_out(said)

    def _carry_out(self, said: tuple[say.Decision, ...]) -> None:
        for decision in said:
            self._one(decision)

    def _one(self, decision: say.Decision) -> None:
        match decision:
            case say.PetWatchdog():
                self._watchdog.pet()
            case say.DisarmWatchdog():
                self._watchdog.disarm()
            case say.Clean():
                self._clean()
            case say.Prepare(group=group, key_epoch=epoch):
                self._prepare(group, epoch)
            case say.Mount(group=group):
                holding = self.state.holdings[group]
                basis = holding.basis
                taking = Taking(holding.epoch, decision.preempt_below, decision.clear_mmp, basis)
                self._workers[group].take(taking)
            case say.Stop(group=group):
                self._workers[group].give()
                self._stopping[group] = boottime()
                self._event("event-group-stopping", group)
            case say.Drop(group=group):
                log.error("dropping group %s: %s %s", group, decision.reason, dict(decision.facts))
                self._workers[group].drop()
                self._event("event-group-dropped", group, reason=decision.reason.value)
            case _:
                log.info("%s %s", decision.reason, dict(decision.facts))

    def _prepare(self, group: GroupName, epoch: int) -> None:
        desired = self.view.groups[group]
        assert desired is not None
        log.info("group %s is granted to this node, epoch %d", group, epoch)
        worker = self._worker(desired, epoch, partial(self._said, group))
        self._workers[group] = worker
        worker.prepare()

    def _said(self, group: GroupName, word: Word) -> None:
        match word:
            case Word.PREPARED:
                self._prepared(group)
            case Word.TAKEN:
                holding = self.state.holdings[group]
                log.info("this node serves group %s, epoch %d", group, holding.epoch)
                self._event("event-group-taken", group, epoch=holding.epoch, basis=holding.basis or "-")
            case Word.KEY_LOST:
                self._step(owner.key_lost(self.state, group))
            case Word.STOPPED:
                self.state = owner.stopped(self.state, group)
            case Word.DROPPED:
                log.info("nothing of group %s is left here", group)
                self._step(owner.dropped(self.state, group))
                self._dismiss(group)

    def _prepared(self, group: GroupName) -> None:
        holding = self.state.holdings.get(group)
        timeout = None
        if self.me.watchdog and holding is not None and not holding.outlives:
            timeout = self._watchdog.arm(self.me.timing.watchdog)
        self._step(owner.prepared(self.state, group, boottime(), self.me, timeout=timeout))
        if self.state.armed is None:  # whatever came of arming it, nothing is petted now
            self._watchdog.disarm()

    def _dismiss(self, group: GroupName) -> None:
        self.look_now = True  # the record may still name this node
        self._stopping.pop(group, None)
        worker = self._workers.pop(group, None)
        if worker is not None:
            worker.end()

    def _worker(self, group: ServiceGroup, key_epoch: int | None, said: Callable[[Word], None]) -> GroupWorker:
        def post(word: Word) -> None:
            self._post(lambda: said(word))

        kill = self.me.timing.kill
        worker = GroupWorker(group, self.me.node, self._forks, post, kill=kill, key_epoch=key_epoch)
        worker.start()
        return worker

    def _event(self, key: str, group: GroupName, **facts: str | int | float) -> None:
        self._chronicle.record(key, group, {"group": group, "node": self.me.node, **facts})

    # --- cleaning -----------------------------------------------------------------------------------------

    def _clean(self) -> None:
        attached = memory.attached()
        left = {*attached, *memory.marked(), *populated_groups()} - self._exclusive
        for group in sorted(left):
            log.error("ending what an earlier keeper left of group %s", group)
            note = attached.get(group)
            desired, epoch = (note.group, note.key_epoch) if note is not None else (ServiceGroup(name=group), None)
            worker = self._worker(desired, epoch, partial(self._cleaned, group))
            worker.attached = group in attached
            worker.unknown = note is None
            self._cleaning[group] = worker
            worker.drop()
        if not left:
            self._all_cleaned()

    def _cleaned(self, group: GroupName, _: Word) -> None:
        self._cleaning.pop(group).end()
        if not self._cleaning:
            self._all_cleaned()

    def _all_cleaned(self) -> None:
        self._watchdog.disarm()
        self.state = owner.cleaned(self.state)


_WAITS = {
    Stage.GRANTED: "prepare",
    Stage.PREPARED: "confirmation",
    Stage.CONFIRMED: "take",
    Stage.STOPPING: "stop",
    Stage.STOPPED: "hand-over",
    Stage.DROPPING: "give",
}


def told(fault: PosthouseError | OSError) -> dict[str, Any]:
    """A fault as it stands in the report: in words, and as a message for any reader's language."""
    if isinstance(fault, PosthouseError):
        facts = {name: v if isinstance(v, int | float) else str(v) for name, v in fault.facts.items()}
        return {"key": fault.key, "text": str(fault), "facts": facts}
    return {"key": "work-crashed", "text": str(fault), "facts": {"job": "-", "detail": str(fault)}}


def _fault(worker: GroupWorker) -> dict[str, Any] | None:
    fault = worker.fault
    if fault is None:
        return None
    return told(fault)


def _keyed(group: ServiceGroup) -> bool:
    return any(volume.reservation for volume in (group.volume, *group.extra_volumes.values()))
