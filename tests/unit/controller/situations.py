"""Situations for tests of placement, in few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from appliance.cluster.decided import Placement, Wish
from appliance.cluster.model import Node, Role, ServiceGroup, VolumeDriver, VolumeSpec
from appliance.cluster.names import GroupName, NodeName
from controller.placement.decide import place
from controller.placement.situation import WISH, Choice, Policy, SeenWish, Situation

SHARED = VolumeSpec(driver=VolumeDriver.BLOCK, source="/dev/sdb")
LONG = 1e6


def node(name: str, **more: Any) -> Node:
    return Node(name=NodeName(name), roles=more.pop("roles", frozenset({Role.STORE})), **more)


def group(name: str, *candidates: str, **more: Any) -> ServiceGroup:
    for field in ("together", "apart", "start_after"):
        more[field] = frozenset(map(GroupName, more.get(field, ())))
    return ServiceGroup(
        name=GroupName(name), volume=SHARED, candidates=tuple(NodeName(each) for each in candidates), **more
    )


def situation(
    nodes: Iterable[Node | str],
    groups: Iterable[ServiceGroup],
    *,
    down: Iterable[str] = (),
    running: Mapping[str, str] | None = None,
    placed: Mapping[str, str | None] | None = None,
    wishes: Mapping[str, Wish] | None = None,
    drained: Iterable[str] = (),
    unfit: Iterable[tuple[str, str]] = (),
    cold: Iterable[tuple[str, str]] = (),
    well: Mapping[str, float] | None = None,
    behind: Iterable[str] = (),
    minute: int = 0,
) -> Situation:
    """Nodes are ready for long unless they are `down` or `well` says for how long; what runs is placed there."""
    known = [each if isinstance(each, Node) else node(each) for each in nodes]
    since = {NodeName(name): seconds for name, seconds in (well or {}).items()}
    where = {GroupName(name): NodeName(at) for name, at in (running or {}).items()}
    goals: dict[str, str | None] = {**{str(k): str(v) for k, v in where.items()}, **(placed or {})}
    return Situation(
        groups={each.name: each for each in groups},
        nodes={each.name: each for each in known},
        ready={each.name: since.get(each.name, LONG) for each in known if each.name not in set(down)},
        running=where,
        placed={
            GroupName(name): Placement(group=GroupName(name), node=None if at is None else NodeName(at))
            for name, at in goals.items()
        },
        wishes={GroupName(name): SeenWish(wish, 7) for name, wish in (wishes or {}).items()},
        drained=frozenset(map(NodeName, drained)),
        unfit=frozenset((GroupName(name), NodeName(at)) for name, at in unfit),
        cold=frozenset((GroupName(name), NodeName(at)) for name, at in cold),
        behind=frozenset(map(NodeName, behind)),
        minute=minute,
    )


def placements(choices: Mapping[GroupName, Choice]) -> dict[GroupName, Placement]:
    """The records that would stand in the store."""
    return {
        name: Placement(
            group=name, node=choice.node, reason=choice.why, facts={WISH: choice.wish} if choice.wish else {}
        )
        for name, choice in choices.items()
    }


def where(given: Situation, policy: Policy = Policy()) -> dict[str, str | None]:  # noqa: B008 - frozen
    """Only the nodes of the choices."""
    return {str(name): choice.node for name, choice in place(given, policy).items()}
