"""What takes too long: grants that nobody takes up, moves that do not end, volumes that cannot be served.

A node that could not serve a group counts as unfit for it for a while, so that another one is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.cluster import keys
from appliance.cluster.model import OwnershipStage
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.cluster.report import NodeReport, VolumeCondition
from controller.cases import Known, SessionName
from controller.events import DecisionLog

#: A keeper confirms within this, or cannot: it only arms the watchdog and registers keys before.
GRANT = Seconds(30.0)
#: So long a node counts as unfit for a group that it could not serve.
UNFIT = Seconds(600.0)
#: A volume that hangs lets nothing end: a move away from it is given no more time than this.
HANGING = Seconds(8.0)
_BROKEN = frozenset({VolumeCondition.READ_ONLY, VolumeCondition.HANGING})

Pair = tuple[GroupName, NodeName]


@dataclass
class Patience:
    """What one leader has waited for. `stuck`: moves that take longer than they may, for the report."""

    log: DecisionLog
    stuck: dict[GroupName, NodeName] = field(default_factory=dict)
    _granted: dict[tuple[GroupName, int], float] = field(default_factory=dict)
    _moving: dict[tuple[GroupName, NodeName], float] = field(default_factory=dict)
    _unfit: dict[Pair, float] = field(default_factory=dict)

    def unfit(self, known: Known, healthy: frozenset[SessionName], now: float) -> frozenset[Pair]:
        """Which node cannot serve which group: it does not take it up, or its volume there is broken."""
        self._watch_grants(known, healthy, now)
        for pair in _broken_volumes(known):
            if pair not in self._unfit:
                self.log.tell("event-volume-broken", group=pair[0], node=pair[1], grave=True)
            self._unfit[pair] = now + UNFIT
        self._unfit = {pair: until for pair, until in self._unfit.items() if until > now}
        return frozenset(self._unfit)

    def _watch_grants(self, known: Known, healthy: frozenset[SessionName], now: float) -> None:
        waiting = {}
        for group in known.groups:
            owner = known.look.owners.get(group)
            if owner is None or owner.record.stage is not OwnershipStage.GRANTED:
                continue
            if (owner.record.node, owner.record.session_epoch) not in healthy:
                continue
            since = waiting[group, owner.epoch] = self._granted.get((group, owner.epoch), now)
            pair = (group, owner.record.node)
            if now - since >= GRANT and pair not in self._unfit:
                self._unfit[pair] = now + UNFIT
                self.log.tell("event-not-taken-up", group=group, node=owner.record.node, grave=True)
        self._granted = waiting

    def watch_moves(
        self,
        running: Mapping[GroupName, NodeName],
        goals: Mapping[GroupName, NodeName | None],
        now: float,
        most: float,
        hanging: frozenset[Pair] = frozenset(),
    ) -> None:
        """Tell of moves that have not ended after `most` seconds, or sooner where the volume is `hanging`."""
        moving = {}
        self.stuck = {}
        for group, node in running.items():
            goal = goals.get(group)
            if goal is None or goal == node:
                self.log.forget(("move", group))
                continue
            since = moving[group, goal] = self._moving.get((group, goal), now)
            patience = min(most, HANGING) if (group, node) in hanging else most
            if now - since >= patience:
                self.stuck[group] = node
                facts = {"to": goal, "seconds": int(patience)}
                self.log.tell_once(
                    ("move", group), goal, "event-move-stuck", group=group, node=node, facts=facts, grave=True
                )
        self._moving = moving


def hanging(known: Known) -> frozenset[Pair]:
    """Owned groups whose volume their owner reports as hanging."""
    return frozenset(_broken_volumes(known, frozenset({VolumeCondition.HANGING})))


def _broken_volumes(known: Known, broken: frozenset[VolumeCondition] = _BROKEN) -> list[Pair]:
    """Owned groups whose volume their owner reports as read-only or hanging."""
    found = []
    for node, report in _reports(known).items():
        for volume in report.volumes:
            owner = known.look.owners.get(volume.group)
            if volume.condition in broken and owner is not None and owner.record.node == node:
                found.append((volume.group, node))
    return found


def worth_cutting_off(
    known: Known, stuck: Mapping[GroupName, NodeName], goals: Mapping[GroupName, NodeName | None]
) -> dict[GroupName, NodeName]:
    """The stuck moves for which the node may be cut off: the group could be served where it is to go, and the store
    keeps its majority.

    Storage that hangs everywhere is no node's fault. Cutting off one owner after the other would gain nothing, and with
    the majority nobody would be left to switch them on again.
    """
    ill = {node for _, node in hanging(known)}
    unready = cold(known)
    return {
        group: node
        for group, node in stuck.items()
        if (goal := goals.get(group)) is not None
        and goal not in ill
        and (group, goal) not in unready
        and _spares_majority(known, node)
    }


def _spares_majority(known: Known, node: NodeName) -> bool:
    voters = {name for name, each in known.view.facts(keys.NODES).items() if each.voter}
    return node not in voters or 2 * len((voters & known.usable) - {node}) > len(voters)


def cold(known: Known) -> frozenset[Pair]:
    """Nodes that say that they could not serve the group at once."""
    return frozenset(
        (standby.group, node)
        for node, report in _reports(known).items()
        for standby in report.standby
        if not standby.ready
    )


def _reports(known: Known) -> dict[NodeName, NodeReport]:
    return known.view.facts(keys.STATUS)
