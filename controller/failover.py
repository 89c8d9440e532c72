"""Carries out what the takeover protocol says about each group: takes, fences, waits, asks the operator.

The protocol (appliance/ownership/taker.py) decides purely; here is nothing but its effects, each a transaction that is
guarded by the leadership and by what it rests on. A guard that does not hold means that something changed: the next
look decides anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from appliance.cluster import keys
from appliance.cluster.decided import OperatorNeeded
from appliance.cluster.model import Basis, Ownership, OwnershipStage
from appliance.cluster.names import GroupName, NodeName
from appliance.coordination.store import Delete, Field, Guard
from appliance.ownership import transactions
from appliance.ownership.decisions import AskOperator, Leave, OrderFence, Reason, Take, VerifyFence, Wait
from appliance.ownership.records import OwnerSeen
from controller.cases import Judgement, Known, SessionName, judge, targets, waits_for
from controller.election import Led
from controller.events import DecisionLog
from controller.fencing.progress import Cause, Fences

Goals = Mapping[GroupName, NodeName | None]


@dataclass
class Failover:
    """The leader's hand. `waiting`: what only the operator can go on with, as of the last pass."""

    log: DecisionLog
    fences: Fences
    waiting: dict[SessionName, set[GroupName]] = field(default_factory=dict)
    takeovers: dict[Basis, int] = field(default_factory=dict)
    _requested: dict[NodeName, int] = field(default_factory=dict)
    _stuck: dict[GroupName, int] = field(default_factory=dict)

    def act(self, led: Led, known: Known, goals: Goals, now: float) -> None:
        """One pass over all groups. Raises StoreUnavailable."""
        healthy = known.healthy(now)
        self.waiting = {}
        fencing: set[NodeName] = set()
        moved: set[GroupName] = set()
        for judgement in judge(known, goals, healthy, now):
            if judgement.case.group in moved:
                continue
            if isinstance(judgement.decision, OrderFence | VerifyFence):
                self._fence(led, known, judgement, fencing)
            else:
                moved |= self._settle(led, judgement)
        self.fences.healed(frozenset(fencing))
        self._regrant(led, known, goals, healthy)
        self._tell_what_waits(known, goals, healthy)
        self._forget_what_is_over(known, healthy)

    @property
    def operator_needed(self) -> tuple[OperatorNeeded, ...]:
        """For the controller's report."""
        return tuple(
            OperatorNeeded(node=node, session_epoch=epoch, groups=tuple(sorted(groups)))
            for (node, epoch), groups in sorted(self.waiting.items())
        )

    # --- one group ----------------------------------------------------------------------------------------

    def _settle(self, led: Led, judgement: Judgement) -> set[GroupName]:
        """Everything but fencing; return the groups that were moved."""
        decision, case = judgement.decision, judgement.case
        owner = case.owner
        match decision:
            case Take():
                return self._take(led, judgement, decision)
            case AskOperator(node=node):
                assert owner is not None
                self._ask(node, owner)
            case Wait(reason=Reason.SILENCE_NOT_PASSED):
                assert owner is not None
                self.log.tell_once(_matter(owner), Wait, "event-wait-silence", group=case.group, node=owner.record.node)
            case Leave(reason=Reason.OWNER_SILENT):
                assert owner is not None
                self.log.tell_once(
                    _matter(owner), decision.reason, "event-leave-silent", group=case.group, node=owner.record.node
                )
        return set()

    def _take(self, led: Led, judgement: Judgement, decision: Take) -> set[GroupName]:
        case, transaction = judgement.case, decision.transaction
        if not led.write(transaction.guards, transaction.changes).succeeded:
            return set()
        assert case.target is not None
        granted = [(case.group, case.target.record.node)]
        ended = any(isinstance(each, Delete) for each in transaction.changes)
        if ended or len(transaction.changes) > 1:
            kept = {each.key for each in transaction.changes}
            granted += [
                (move.owner.record.group, move.target.record.node)
                for move in case.others
                if move.target is not None and keys.owner(move.owner.record.group) in kept
            ]
        old = case.owner.record.node if case.owner is not None else ""
        basis = Basis.UNCONFIRMED if decision.reason is Reason.NOT_CONFIRMED else decision.basis
        for group, to in granted:
            self._told_granted(group, to, old, basis)
        return {group for group, _ in granted}

    def _told_granted(self, group: GroupName, to: NodeName, old: str, basis: Basis) -> None:
        self.takeovers[basis] = self.takeovers.get(basis, 0) + 1
        word = basis.value.replace("_", "-")
        self.log.tell(f"event-grant-{word}", group=group, node=to, facts={"to": to, "old": old or "-"})

    def _ask(self, node: NodeName, owner: OwnerSeen) -> None:
        self._waits_for_operator(owner.record)
        self.log.tell_once(
            _matter(owner), AskOperator, "event-ask-operator", group=owner.record.group, node=node, grave=True
        )

    def _waits_for_operator(self, record: Ownership) -> None:
        self.waiting.setdefault((record.node, record.session_epoch), set()).add(record.group)

    # --- fencing ------------------------------------------------------------------------------------------

    def _fence(self, led: Led, known: Known, judgement: Judgement, fencing: set[NodeName]) -> None:
        """The next step of the fence of the group's owner; the first group of a node orders it for all."""
        owner = judgement.case.owner
        assert owner is not None
        node, epoch = owner.record.node, owner.record.session_epoch
        if node in self.fences.failures and owner.record.silence is None:
            self._waits_for_operator(owner.record)
        if node in fencing:
            return
        fencing.add(node)
        spec, revision = known.specs[node], _set_at(known, node)
        if isinstance(judgement.decision, VerifyFence):
            self.fences.verify(spec, epoch, revision)
            return
        reason = judgement.decision.reason
        key = f"event-fence-{reason.value.replace('_', '-')}"
        guards = list(_fence_guards(known, judgement, owner))
        sighting = known.sightings.get(node)
        silent_at = sighting.revision if sighting else 0
        cause = Cause(key, {"agent": spec.agent}, silent_at=silent_at, spec=revision)
        self.fences.order(led, spec, epoch, guards, cause)

    def request(self, led: Led, known: Known) -> None:
        """What operators ask to be fenced: ordered once each, whatever the node's health. Raises StoreUnavailable."""
        for node, seen in known.view.table(keys.FENCE_REQUESTS).items():
            name, request = NodeName(node), seen.fact
            spec = known.specs.get(name)
            guard = Guard(keys.fence_request(name), Field.MOD_REVISION, seen.revision)
            session = known.look.sessions.get(name)
            if session is not None and session.epoch > request.session_epoch:
                spec = None  # it has come back since: whoever asked did not mean this session
            if spec is not None and self._requested.get(name) != seen.revision:
                at_once = spec.model_copy(update={"delay": 0.0})
                revision = _set_at(known, name)
                cause = Cause("event-fence-requested", {"by": request.by}, stays_off=True, spec=revision)
                if self.fences.order(led, at_once, request.session_epoch, [guard], cause):
                    self._requested[name] = seen.revision
            else:
                led.write([guard], [Delete(keys.fence_request(name))])

    def cut_off_stuck(self, led: Led, known: Known, stuck: Mapping[GroupName, NodeName]) -> None:
        """Nodes that live and cannot let go of a group: ordered off, once for each ownership, and one in a pass."""
        self._stuck = {group: epoch for group, epoch in self._stuck.items() if group in stuck}
        for group, node in sorted(stuck.items()):
            owner, spec = known.look.owners.get(group), known.specs.get(node)
            if owner is None or owner.record.node != node or spec is None or self._stuck.get(group) == owner.epoch:
                continue
            session = owner.record.session_epoch
            guards = [
                Guard(keys.owner(group), Field.MOD_REVISION, owner.epoch),
                Guard(keys.session(node), Field.CREATE_REVISION, session),
            ]
            at_once = spec.model_copy(update={"delay": 0.0})  # it fences nobody: there is no duel to be decided
            cause = Cause("event-fence-stuck", {"group": group}, spec=_set_at(known, node))
            if self.fences.order(led, at_once, session, guards, cause):
                self._stuck[group] = owner.epoch
                return  # what is left to the store without this node, the next look tells

    def power_on(self, led: Led, known: Known) -> None:
        """Nodes that were cut off and own nothing any more: switched on, once, unless that was so too often of late.

        Raises StoreUnavailable, NotLeading.
        """
        for node, fence in list(self.fences.known.items()):
            session, spec = known.look.sessions.get(node), known.specs.get(node)
            owns = (node, fence.session_epoch) in known.by_session or known.look.unreadable_owners
            back = session is not None and session.epoch != fence.session_epoch
            if spec is not None and not owns and not back and self.fences.may_power_on(node):
                self.fences.power_on(led, spec)

    # --- grants that nobody took up -----------------------------------------------------------------------

    def _regrant(self, led: Led, known: Known, goals: Goals, healthy: frozenset[SessionName]) -> None:
        """Groups that were granted, never confirmed, and are wanted elsewhere or nowhere: nobody has them mounted."""
        chosen = targets(known, goals, healthy)
        for group in known.groups:
            owner = known.look.owners.get(group)
            if owner is None or owner.record.stage is not OwnershipStage.GRANTED:
                continue
            if (owner.record.node, owner.record.session_epoch) not in healthy:
                continue
            goal, target = goals.get(group, owner.record.node), chosen.get(group)
            if goal is None:
                led.write([Guard(keys.owner(group), Field.MOD_REVISION, owner.epoch)], [Delete(keys.owner(group))])
            elif target is not None and goal != owner.record.node:
                basis = owner.record.basis or Basis.UNCONFIRMED
                again = transactions.grant(group, owner.epoch, target, basis)
                if led.write(again.guards, again.changes).succeeded:
                    self._told_granted(group, target.record.node, owner.record.node, Basis.UNCONFIRMED)

    # --- what is told -------------------------------------------------------------------------------------

    def _tell_what_waits(self, known: Known, goals: Goals, healthy: frozenset[SessionName]) -> None:
        for group, spec in known.groups.items():
            owner = known.look.owners.get(group)
            down = owner is None or (owner.record.node, owner.record.session_epoch) not in healthy
            before = waits_for(known, group, healthy) if down and spec.start_after and goals.get(group) else None
            if before is not None:
                self.log.tell_once(("start", group), before, "event-start-waits", group=group, facts={"before": before})
            else:
                self.log.forget(("start", group))

    def _forget_what_is_over(self, known: Known, healthy: frozenset[SessionName]) -> None:
        """A group in good hands again, or in others: its story is told, the next one begins anew."""
        for matter in self.log.matters():
            if not (isinstance(matter, tuple) and matter[0] == "group"):
                continue
            _, group, epoch = matter
            owner = known.look.owners.get(group)
            if owner is None or owner.epoch != epoch:
                self.log.forget(matter)
            elif (owner.record.node, owner.record.session_epoch) in healthy and self.log.forget(matter):
                self.log.tell("event-owner-healthy", group=group, node=owner.record.node)


def _matter(owner: OwnerSeen) -> tuple[str, GroupName, int]:
    return "group", owner.record.group, owner.epoch


def _set_at(known: Known, node: NodeName) -> int:
    """The revision at which the node's fence was set as it is."""
    return known.view.table(keys.FENCE_SPECS)[node].revision


def _fence_guards(known: Known, judgement: Judgement, owner: OwnerSeen) -> Iterable[Guard]:
    """What an order to fence rests on: the record, the session as it was seen, and the observers' word."""
    node = owner.record.node
    yield Guard(keys.owner(owner.record.group), Field.MOD_REVISION, owner.epoch)
    sighting = known.sightings.get(node)
    yield Guard(keys.session(node), Field.MOD_REVISION, sighting.revision if sighting else 0)
    if judgement.decision.reason is not Reason.OWNER_SILENT:
        return
    for observer in known.fails.get(node, {}):
        seen = known.view.table(keys.OBSERVATIONS)[observer]
        yield Guard(keys.observation(observer), Field.MOD_REVISION, seen.revision)
