"""A large cluster as the controller sees it: for the simulation and the benchmark."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from appliance.cluster import keys
from appliance.cluster.decided import FenceSpec, Placement
from appliance.cluster.model import Node, Ownership, OwnershipStage, Role, ServiceGroup, Session
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.timing import Timing
from appliance.ownership.records import OwnerSeen, SessionSeen
from appliance.ownership.taker import Fence, FenceKind, FenceState, Sighting
from controller.cases import Judgement, Known, judge
from controller.placement.decide import place
from controller.placing import running, situation
from controller.view import Look, Seen, View
from tests.unit.controller.situations import group, node

NOW = 1000.0
TIMING = Timing()


@dataclass(frozen=True)
class Decided:
    """What one pass came to, and how long its parts took, seconds."""

    judgements: list[Judgement]
    goals: dict[GroupName, NodeName | None]
    health: float
    placement: float
    judging: float

    @property
    def total(self) -> float:
        return self.health + self.placement + self.judging


def cluster(nodes: int, groups: int, *, anywhere: bool = False) -> Known:
    """Every group has three candidates, or none (any node may own it), and runs on its first one."""
    names = [NodeName(f"n{number:03}") for number in range(nodes)]
    specs = [
        group(f"g{number:05}", *(() if anywhere else (names[(number + step) % nodes] for step in (0, 1, 3))))
        for number in range(1, groups + 1)
    ]
    owners = {
        each.name: OwnerSeen(
            Ownership(
                group=each.name,
                node=(home := names[number % nodes]),
                session_epoch=10_000 + names.index(home),
                stage=OwnershipStage.CONFIRMED,
                machine_id=home,
            ),
            100_000 + number,
        )
        for number, each in enumerate(specs, 1)
    }
    sessions = {
        name: SessionSeen(Session(node=name, boot_id="b", machine_id=name), 10_000 + number, 500_000 + number)
        for number, name in enumerate(names)
    }
    sightings = {name: Sighting(seen.revision, NOW - 1, seen.epoch, 1.0) for name, seen in sessions.items()}
    return Known(_view(names, specs, owners), Look(NOW, sessions, owners), TIMING, sightings, {}, {}, frozenset(names))


def _view(names: Iterable[NodeName], specs: Iterable[ServiceGroup], owners: dict[GroupName, OwnerSeen]) -> View:
    nodes: dict[NodeName, Node] = {name: node(name, roles=frozenset({Role.STORE})) for name in names}
    tables: dict[str, dict[str, Seen[Any]]] = {
        keys.NODES: {name: Seen(each, 1) for name, each in nodes.items()},
        keys.GROUPS: {each.name: Seen(each, 2) for each in specs},
        keys.FENCE_SPECS: {name: Seen(FenceSpec(node=name, agent="fence_x"), 3) for name in nodes},
        keys.PLACEMENTS: {
            name: Seen(Placement(group=name, node=owner.record.node), 4) for name, owner in owners.items()
        },
    }
    return View(tables)


def lose(known: Known, lost: Iterable[NodeName], *, fenced: bool) -> Known:
    """The nodes have not renewed for longer than D; `fenced`: their power is off, verified."""
    gone = set(lost)
    sightings = {
        name: replace(seen, since=NOW - TIMING.demote - 1) if name in gone else seen
        for name, seen in known.sightings.items()
    }
    fences = {
        name: Fence(
            FenceKind.POWER, name, known.look.sessions[name].epoch, GroupName(""), 0, FenceState.VERIFIED, NOW - 1
        )
        for name in gone
        if fenced
    }
    return Known(
        known.view, known.look, known.timing, sightings, known.fails, fences, known.usable - gone
    )  # a new one: what it derived from the old facts is not kept


def decide(known: Known) -> Decided:
    """Everything that the leader decides in one pass, without the store."""
    start = time.perf_counter()
    healthy = known.healthy(NOW)
    health = time.perf_counter()
    placed = known.view.facts(keys.PLACEMENTS)
    choices = place(situation(known, placed, running(known, healthy), frozenset(), frozenset()))
    placement = time.perf_counter()
    goals = {name: choice.node for name, choice in choices.items()}
    judgements = list(judge(known, goals, healthy, NOW))
    return Decided(judgements, goals, health - start, placement - health, time.perf_counter() - placement)
