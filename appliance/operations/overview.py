"""The whole cluster at one look: records of the store, read once, put together. Pure but for `read`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from appliance.cluster import keys
from appliance.cluster.decided import (
    ClusterEvent,
    ControllerReport,
    Drain,
    FenceCheck,
    FenceProblem,
    FenceProgress,
    FenceRecord,
    FenceSpec,
    Leadership,
    Observation,
    Placement,
    Wish,
)
from appliance.cluster.model import Fact, Node, Ownership, OwnershipStage, ServiceGroup
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.report import NodeReport
from appliance.coordination.store import Record, Store
from appliance.errors import PosthouseError
from appliance.ownership.records import SessionSeen, UnreadableRecord, session_seen

#: How many of the newest events stand in an overview.
LATEST = 8
#: So many observers must have no answer before a node is called silent.
OBSERVERS = 2
#: States of an engine instance that do not end by waiting.
_ILL = frozenset({"failed", "unhealthy", "backing-off"})


class NodeState(StrEnum):
    """How a node is. `silent`: other nodes get no answer; `fenced`: cut off, verified; `gone`: it has no session."""

    ALIVE = "alive"
    SILENT = "silent"
    FENCED = "fenced"
    GONE = "gone"


class GroupState(StrEnum):
    """How a group is: `active` serves; `starting` and `moving` will soon; `ill` should and does not;
    `waiting` has no owner; `stopped` is wanted so."""

    ACTIVE = "active"
    STARTING = "starting"
    MOVING = "moving"
    ILL = "ill"
    WAITING = "waiting"
    STOPPED = "stopped"


@dataclass(frozen=True)
class NodeLine:
    """One node as an operator sees it. `fence_read`: when its fence last answered as it should."""

    name: NodeName
    state: NodeState
    roles: tuple[str, ...]
    address: str | None
    release: str | None
    drained: bool
    fence: str | None
    groups: tuple[GroupName, ...]
    standby: tuple[GroupName, ...]
    unanswered_by: tuple[NodeName, ...]
    report: NodeReport | None
    fence_read: datetime | None = None
    fence_problem: FenceProblem | None = None


@dataclass(frozen=True)
class GroupLine:
    """One group as an operator sees it. `reason` and `facts`: why it is where it is, or nowhere."""

    name: GroupName
    state: GroupState
    owner: NodeName | None
    placed: NodeName | None
    stage: OwnershipStage | None
    basis: str | None
    epoch: int
    reason: str
    facts: Mapping[str, str | int | float]
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """Everything of the cluster's screen. `controller`: what the leader has to say."""

    leader: NodeName | None
    controller: ControllerReport | None
    nodes: tuple[NodeLine, ...]
    groups: tuple[GroupLine, ...]
    events: tuple[ClusterEvent, ...]
    unreadable: tuple[str, ...]
    revision: int

    @property
    def healthy(self) -> bool:
        """Somebody leads, every node is alive and every group serves or is stopped on purpose."""
        return (
            (self.leader is not None or len(self.nodes) < 2)  # noqa: PLR2004 - a server alone needs nobody to lead
            and all(node.state is NodeState.ALIVE for node in self.nodes)
            and all(group.state in (GroupState.ACTIVE, GroupState.STOPPED) for group in self.groups)
            and not self.unreadable
            and not (self.controller is not None and (self.controller.waiting or self.controller.notices))
        )


@dataclass
class _Sorted:
    """The records by kind."""

    nodes: dict[str, Node] = field(default_factory=dict)
    groups: dict[str, ServiceGroup] = field(default_factory=dict)
    wishes: dict[str, Wish] = field(default_factory=dict)
    drained: dict[str, Drain] = field(default_factory=dict)
    fence_specs: dict[str, FenceSpec] = field(default_factory=dict)
    fence_revisions: dict[str, int] = field(default_factory=dict)
    fence_checks: dict[str, FenceCheck] = field(default_factory=dict)
    owners: dict[str, tuple[Ownership, int]] = field(default_factory=dict)
    placements: dict[str, Placement] = field(default_factory=dict)
    fences: dict[str, FenceRecord] = field(default_factory=dict)
    reports: dict[str, NodeReport] = field(default_factory=dict)
    sessions: dict[str, SessionSeen] = field(default_factory=dict)
    observations: list[Observation] = field(default_factory=list)
    events: list[ClusterEvent] = field(default_factory=list)
    leader: NodeName | None = None
    controller: ControllerReport | None = None
    unreadable: list[str] = field(default_factory=list)


def read(store: Store) -> Overview:
    """Read the store and put it together; raises StoreUnavailable."""
    records, revision = store.list(keys.PREFIX)
    return overview(records, revision)


def overview(records: Iterable[Record], revision: int) -> Overview:
    """What the records say, together."""
    found = _sort(records)
    groups = tuple(_group_line(group, found) for _, group in sorted(found.groups.items()))
    nodes = tuple(_node_line(node, found) for _, node in sorted(found.nodes.items()))
    said = found.controller if found.controller is not None and found.controller.node == found.leader else None
    return Overview(
        found.leader,
        said,
        nodes,
        groups,
        tuple(sorted(found.events, key=lambda event: event.at)[-LATEST:]),
        tuple(sorted(found.unreadable)),
        revision,
    )


def _sort(records: Iterable[Record]) -> _Sorted:
    found = _Sorted()
    for record in records:
        try:
            _put_away(record, found)
        except (ValidationError, PosthouseError, UnreadableRecord, ValueError):
            found.unreadable.append(record.key)
    return found


def _put_away(record: Record, found: _Sorted) -> None:
    key, name = record.key, record.key.rpartition("/")[2]
    if key.startswith(keys.FENCE_SPECS):
        found.fence_revisions[name] = record.mod_revision
    tables: tuple[tuple[str, type[Fact], dict[str, Any]], ...] = (
        (keys.NODES, Node, found.nodes),
        (keys.GROUPS, ServiceGroup, found.groups),
        (keys.WISHES, Wish, found.wishes),
        (keys.DRAINED, Drain, found.drained),
        (keys.FENCE_SPECS, FenceSpec, found.fence_specs),
        (keys.PLACEMENTS, Placement, found.placements),
        (keys.FENCES, FenceRecord, found.fences),
        (keys.FENCE_CHECKS, FenceCheck, found.fence_checks),
        (keys.STATUS, NodeReport, found.reports),
    )
    for prefix, kind, table in tables:
        if key.startswith(prefix):
            table[name] = kind.model_validate_json(record.value)
            return
    if key.startswith(keys.OWNERS):
        found.owners[name] = (Ownership.model_validate_json(record.value), record.mod_revision)
    elif key.startswith(keys.SESSIONS):
        found.sessions[name] = session_seen(record)
    elif key.startswith(keys.OBSERVATIONS):
        found.observations.append(Observation.model_validate_json(record.value))
    elif key.startswith(keys.EVENTS):
        found.events.append(ClusterEvent.model_validate_json(record.value))
    elif key == keys.LEADER:
        found.leader = Leadership.model_validate_json(record.value).node
    elif key == keys.CONTROLLER:
        found.controller = ControllerReport.model_validate_json(record.value)


def _node_line(node: Node, found: _Sorted) -> NodeLine:
    name = node.name
    report = found.reports.get(name)
    unanswered_by = tuple(sorted(each.observer for each in found.observations if name in each.unanswered))
    owned = tuple(sorted(GroupName(group) for group, (owner, _) in found.owners.items() if owner.node == name))
    ready = getattr(report, "standby", ()) if report else ()
    spec, check = found.fence_specs.get(name), found.fence_checks.get(name)
    if check is not None and check.spec != found.fence_revisions.get(name):
        check = None  # about a fence that was set anew since
    return NodeLine(
        name=name,
        state=_node_state(name, unanswered_by, found),
        roles=tuple(sorted(role.value for role in node.roles)),
        address=str(node.address) if node.address else None,
        release=report.release if report else None,
        drained=name in found.drained,
        fence=spec.agent if spec else None,
        groups=owned,
        standby=tuple(sorted(GroupName(each.group) for each in ready if each.ready)),
        unanswered_by=unanswered_by,
        report=report,
        fence_read=check.read_at if check else None,
        fence_problem=check.problem if check else None,
    )


def _node_state(name: NodeName, unanswered_by: tuple[NodeName, ...], found: _Sorted) -> NodeState:
    session, fence = found.sessions.get(name), found.fences.get(name)
    if fence is not None and fence.progress is FenceProgress.VERIFIED:
        later = session is not None and session.epoch > fence.session_epoch
        if not later:
            return NodeState.FENCED
    if session is None:
        return NodeState.GONE
    others = len(found.nodes) - 1
    enough = min(OBSERVERS, others)
    return NodeState.SILENT if others and len(unanswered_by) >= enough else NodeState.ALIVE


def _group_line(group: ServiceGroup, found: _Sorted) -> GroupLine:
    owner, epoch = found.owners.get(group.name, (None, 0))
    placement = found.placements.get(group.name)
    wish = found.wishes.get(group.name)
    return GroupLine(
        name=group.name,
        state=_group_state(group, owner, placement, wish, found),
        owner=owner.node if owner else None,
        placed=placement.node if placement else None,
        stage=owner.stage if owner else None,
        basis=owner.basis.value if owner and owner.basis else None,
        epoch=epoch,
        reason=placement.reason if placement else "",
        facts=placement.facts if placement else {},
        addresses=tuple(str(each) for each in group.addresses),
    )


def _group_state(
    group: ServiceGroup, owner: Ownership | None, placement: Placement | None, wish: Wish | None, found: _Sorted
) -> GroupState:
    if owner is None:
        return GroupState.STOPPED if wish is not None and wish.stopped else GroupState.WAITING
    if owner.node not in found.sessions:
        return GroupState.ILL  # its owner is gone, and nobody has taken it yet
    if placement is not None and placement.node != owner.node:
        return GroupState.MOVING
    if owner.stage is not OwnershipStage.CONFIRMED:
        return GroupState.STARTING
    report = found.reports.get(owner.node)
    if wish is not None and wish.stopped and group.held_exclusively_by(owner.node):
        return GroupState.STOPPED if _rests(group, report) else GroupState.STARTING
    return _served(group, report)


def _rests(group: ServiceGroup, report: NodeReport | None) -> bool:
    """Whether all engines of a group that stays its node's are stopped."""
    named = {str(instance) for instance in group.instances}
    states = [each.state for each in report.instances if each.instance in named] if report else []
    return len(states) == len(named) and all(state == "stopped" for state in states)


def _served(group: ServiceGroup, report: NodeReport | None) -> GroupState:
    if report is None or group.name not in report.owned_groups:
        return GroupState.STARTING
    named = {str(instance) for instance in group.instances}
    instances = [each for each in report.instances if each.instance in named]
    if len(instances) < len(named):
        return GroupState.STARTING
    if all(each.healthy for each in instances):
        return GroupState.ACTIVE
    return GroupState.ILL if any(each.state in _ILL for each in instances) else GroupState.STARTING
