"""What the takeover protocol is asked about each group, built from what was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from appliance.cluster import keys
from appliance.cluster.decided import FenceSpec
from appliance.cluster.model import OwnershipStage, ServiceGroup, VolumeDriver
from appliance.cluster.names import LOCAL_GROUP, GroupName, NodeName
from appliance.cluster.timing import Timing
from appliance.ownership import taker
from appliance.ownership.decisions import Decision, Reason
from appliance.ownership.records import OwnerSeen, SessionSeen
from appliance.ownership.taker import Case, Fence, FenceKind, Sightings
from appliance.ownership.transactions import Move
from controller.observers import Failing
from controller.view import Look, View

#: A session of a node.
SessionName = tuple[NodeName, int]
#: Groups moved by one transaction at most: etcd takes 128 guards, and 128 changes.
AT_ONCE = 60


def shared(groups: Mapping[GroupName, ServiceGroup]) -> dict[GroupName, ServiceGroup]:
    """The groups that more than one node could own; of the others their only node takes care by itself."""
    return {
        name: group
        for name, group in groups.items()
        if name != LOCAL_GROUP and not (group.volume.driver is VolumeDriver.DIRECTORY and len(group.candidates) == 1)
    }


@dataclass(frozen=True)
class Known:
    """One moment: what the watch brought, the look at sessions and owners, and what this controller remembers."""

    view: View
    look: Look
    timing: Timing
    sightings: Sightings = field(default_factory=dict)
    fails: Failing = field(default_factory=dict)
    fences: Mapping[NodeName, Fence] = field(default_factory=dict)
    usable: frozenset[NodeName] = frozenset()
    reached: Mapping[NodeName, float] = field(default_factory=dict)
    #: Nodes whose fence is known to hit something else.
    missed: frozenset[NodeName] = frozenset()
    #: Nodes whose fence said "off" while they were alive: it may be ordered, and what it says proves nothing.
    reads_off: frozenset[NodeName] = frozenset()

    @cached_property
    def all_groups(self) -> dict[GroupName, ServiceGroup]:
        """Every group whose record can be read."""
        return self.view.facts(keys.GROUPS)

    @cached_property
    def groups(self) -> dict[GroupName, ServiceGroup]:
        """Those that are decided here and whose records can be read."""
        found = shared(self.all_groups)
        return {name: group for name, group in found.items() if not self.look.left_alone(name)}

    @cached_property
    def specs(self) -> dict[NodeName, FenceSpec]:
        """How nodes are fenced, where that can be relied on."""
        return {name: spec for name, spec in self.view.facts(keys.FENCE_SPECS).items() if name not in self.missed}

    @cached_property
    def by_session(self) -> dict[SessionName, list[OwnerSeen]]:
        """The ownership records by the session that they name."""
        found: dict[SessionName, list[OwnerSeen]] = {}
        for owner in self.look.owners.values():
            found.setdefault((owner.record.node, owner.record.session_epoch), []).append(owner)
        return found

    def healthy(self, now: float) -> frozenset[SessionName]:
        """The sessions whose groups are in good hands: the protocol's word about one group of each."""
        return frozenset(
            session
            for session, owners in self.by_session.items()
            if session[0] not in self.look.unreadable_sessions
            and taker.decide(self.case(owners[0].record.group, {}), now, self.timing).reason is Reason.OWNER_HEALTHY
        )

    def case(self, group: GroupName, targets: Mapping[GroupName, SessionSeen], others: tuple[Move, ...] = ()) -> Case:
        """All that is known about one group."""
        owner = self.look.owners.get(group)
        if owner is None:
            return Case(group, self.look.read_at, None, target=targets.get(group))
        node = owner.record.node
        return Case(
            group=group,
            read_at=self.look.read_at,
            owner=owner,
            session=self.look.sessions.get(node),
            sighting=self.sightings.get(node),
            others=others,
            target=targets.get(group),
            failing=self.fails.get(node, {}),
            reached=self.reached.get(node),
            fence_kind=FenceKind.POWER if node in self.specs and node not in self.reads_off else None,
            fence=self.fences.get(node),
            acknowledged=self.acknowledged(node),
        )

    def acknowledged(self, node: NodeName) -> int | None:
        """The epoch of the session about which the operator's word holds; None: no word, or one that was wrong.

        A session that was renewed after the word was written was not off: the word must not count for the same
        session's next silence, perhaps weeks later. The store's revisions tell which came first.
        """
        word, session = self.view.table(keys.ACKNOWLEDGEMENTS).get(node), self.look.sessions.get(node)
        if word is None:
            return None
        epoch: int = word.fact.session_epoch
        refuted = session is not None and session.epoch == epoch and session.revision > word.revision
        return None if refuted else epoch


@dataclass(frozen=True)
class Judgement:
    """One group, what is known about it, and what the protocol says."""

    case: Case
    decision: Decision


def waits_for(known: Known, group: GroupName, healthy: frozenset[SessionName]) -> GroupName | None:
    """A group that must run before this one and does not. Of groups that wait for each other none waits."""
    groups = known.all_groups
    for before in sorted(groups[group].start_after & groups.keys()):
        owner = known.look.owners.get(before)
        runs = (
            owner is not None
            and owner.record.stage is OwnershipStage.CONFIRMED
            and (owner.record.node, owner.record.session_epoch) in healthy
        )
        if not runs and not _leads_to(groups, before, group, set()):
            return before
    return None


def _leads_to(
    groups: Mapping[GroupName, ServiceGroup], start: GroupName, end: GroupName, passed: set[GroupName]
) -> bool:
    passed.add(start)
    after = groups[start].start_after & groups.keys()
    return end in after or any(_leads_to(groups, each, end, passed) for each in after - passed)


def targets(
    known: Known, goals: Mapping[GroupName, NodeName | None], healthy: frozenset[SessionName]
) -> dict[GroupName, SessionSeen]:
    """The session to which each group that needs one may be granted now."""
    found = {}
    for group in known.groups:
        owner, goal = known.look.owners.get(group), goals.get(group)
        if owner is not None and _in_good_hands(owner, healthy) and owner.record.stage is OwnershipStage.CONFIRMED:
            continue
        if goal in known.usable and waits_for(known, group, healthy) is None:
            found[group] = known.look.sessions[goal]
    return found


def _in_good_hands(owner: OwnerSeen, healthy: frozenset[SessionName]) -> bool:
    return (owner.record.node, owner.record.session_epoch) in healthy


def judge(
    known: Known, goals: Mapping[GroupName, NodeName | None], healthy: frozenset[SessionName], now: float
) -> Iterator[Judgement]:
    """The protocol's word about every group that is not in good hands, the most important first.

    With a group go the others that the same session confirmed and that have somewhere to go.
    """
    chosen = targets(known, goals, healthy)
    needy = [
        name
        for name in known.groups
        if (owner := known.look.owners.get(name)) is None or not _in_good_hands(owner, healthy)
    ]
    for name in sorted(needy, key=lambda each: (-known.groups[each].priority, each)):
        case = known.case(name, chosen, _others(known, name, chosen))
        yield Judgement(case, taker.decide(case, now, known.timing))


def _others(known: Known, group: GroupName, chosen: Mapping[GroupName, SessionSeen]) -> tuple[Move, ...]:
    owner = known.look.owners.get(group)
    if owner is None:
        return ()
    epoch = owner.record.session_epoch
    return tuple(
        Move(other, target)
        for other in known.by_session[owner.record.node, epoch]
        if other is not owner
        and other.record.stage is OwnershipStage.CONFIRMED
        and other.record.group in known.groups
        and (target := chosen.get(other.record.group)) is not None
        and target.epoch != epoch
    )[: AT_ONCE - 1]
