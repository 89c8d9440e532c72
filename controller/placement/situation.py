"""The facts that placement decides from, and what it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.cluster.decided import Placement, Wish
from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import GroupName, NodeName

#: Only a node with one of these may own groups: a witness or a mere control node never does.
OWNING = frozenset({Role.STORE, Role.DIRECTORY, Role.DATABASE})
#: In the facts of a placement: the revision of the operator's wish that it has fulfilled.
WISH = "wish"


@dataclass(frozen=True)
class SeenWish:
    """An operator's wish and the revision at which it was written: a later one is another wish."""

    wish: Wish
    revision: int


@dataclass(frozen=True)
class Situation:
    """What is known at one moment.

    `groups` are those that more than one node could own. `ready`: the nodes that may get a group, and for how many
    seconds they have been well. `running`: the groups whose owner's session lives, and where. `placed`: the
    decisions in force. `unfit`: nodes that cannot serve the group; `cold`: that could, but not at once.
    `behind`: nodes that run an older release than others. `burden`: groups on a node that are not decided here.
    `minute`: local time, minutes after midnight.
    """

    groups: Mapping[GroupName, ServiceGroup]
    nodes: Mapping[NodeName, Node]
    ready: Mapping[NodeName, float] = field(default_factory=dict)
    running: Mapping[GroupName, NodeName] = field(default_factory=dict)
    placed: Mapping[GroupName, Placement] = field(default_factory=dict)
    wishes: Mapping[GroupName, SeenWish] = field(default_factory=dict)
    drained: frozenset[NodeName] = frozenset()
    unfit: frozenset[tuple[GroupName, NodeName]] = frozenset()
    cold: frozenset[tuple[GroupName, NodeName]] = frozenset()
    behind: frozenset[NodeName] = frozenset()
    burden: Mapping[NodeName, int] = field(default_factory=dict)
    minute: int = 0

    def stopped(self, group: GroupName) -> bool:
        """Whether the operator wants it nowhere."""
        seen = self.wishes.get(group)
        return seen is not None and seen.wish.stopped

    def allowed(self, group: GroupName, name: NodeName) -> bool:
        """Whether the node may own the group at all: its role, and where the group may run."""
        node = self.nodes.get(name)
        return node is not None and bool(node.roles & OWNING) and self.groups[group].may_run_on(node)

    def fits(self, group: GroupName, name: NodeName) -> bool:
        """Whether the node could take the group now, but for others in its way."""
        return name in self.ready and (group, name) not in self.unfit and self.allowed(group, name)

    def wished(self, group: GroupName) -> NodeName | None:
        """The node on which the operator wants it."""
        seen = self.wishes.get(group)
        return seen.wish.node if seen is not None else None

    def has_new_wish(self, group: GroupName) -> bool:
        """Whether the operator wants it on a node, and that was not followed yet."""
        seen, placed = self.wishes.get(group), self.placed.get(group)
        if seen is None or seen.wish.node is None:
            return False
        return placed is None or placed.facts.get(WISH) != seen.revision

    def home(self, group: GroupName) -> NodeName | None:
        """Where it is at home: where it runs, or is on its way to, or was told to go; None: nowhere."""
        running, placed = self.running.get(group), self.placed.get(group)
        goal = placed.node if placed is not None else None
        if goal is None or goal == running or not self.fits(group, goal):
            return running
        return running if goal in self.drained else goal


class Why(StrEnum):
    """Why a group is where it is. The values are message keys and stand in the store."""

    STAYS = "placement-stays"
    HOME = "placement-home"
    WISH = "placement-wish"
    APART = "placement-apart"
    TOGETHER = "placement-together"
    UNFIT = "placement-unfit"
    NOT_ALLOWED = "placement-not-allowed"
    DRAINED = "placement-drained"
    LIMIT = "placement-limit"
    FAILBACK = "placement-failback"
    # nowhere
    STOPPED = "placement-stopped"
    NO_NODE = "placement-no-node"
    NO_ROOM = "placement-no-room"


@dataclass(frozen=True)
class Choice:
    """Where a group should be. `wish`: the revision of the wish that this fulfils, 0 for none."""

    node: NodeName | None
    why: Why
    wish: int = 0


@dataclass(frozen=True)
class Policy:
    """`moves_at_once`: so many groups may be on their way at the operator's leisure, in the whole cluster."""

    moves_at_once: int = 4
