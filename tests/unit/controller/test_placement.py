"""Which node should own which group: a table of cases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from appliance.cluster.decided import Placement, Wish
from appliance.cluster.model import Failback, FailbackPolicy, Role
from appliance.cluster.names import GroupName, NodeName
from controller.placement.decide import place
from controller.placement.situation import Policy, Situation, Why
from controller.placement.window import within
from tests.unit.controller.situations import group, node, placements, situation, where

AUTOMATIC = Failback(policy=FailbackPolicy.AUTOMATIC, settle=60)
NIGHTLY = Failback(policy=FailbackPolicy.WINDOW, settle=60, window="22:00-05:00")


def wish(name: str, to: str | None = None, *, stopped: bool = False) -> dict[str, Wish]:
    return {name: Wish(group=GroupName(name), node=None if to is None else NodeName(to), stopped=stopped)}


@dataclass(frozen=True)
class Case:
    given: Situation
    expected: dict[str, str | None]
    why: dict[str, Why] | None = None


def case(expected: dict[str, str | None], why: dict[str, Why] | None = None, **given: Any) -> Case:
    return Case(situation(given.pop("nodes"), given.pop("groups"), **given), expected, why)


CASES = {
    "a pair of which one runs comes together at once where both would go back to": case(
        {"g": "c", "h": "c"},
        {"g": Why.FAILBACK, "h": Why.FAILBACK},
        nodes=["c", node("d", labels={"disk": "fast"})],
        groups=[group("g", "c", labels={"disk": "fast"}, together={"h"}, failback=AUTOMATIC), group("h")],
        running={"h": "d"},
    ),
    "a new group goes to its first candidate": case({"g": "b"}, nodes="abc", groups=[group("g", "b", "a")]),
    "to the next one when the first is down": case({"g": "a"}, nodes="abc", groups=[group("g", "b", "a")], down="b"),
    "nowhere when no candidate is ready": case(
        {"g": None}, {"g": Why.NO_NODE}, nodes="abc", groups=[group("g", "b", "a")], down="ab"
    ),
    "new groups are spread": case(
        {"g": "a", "h": "b", "i": "c"}, nodes="abc", groups=[group("g"), group("h"), group("i")]
    ),
    "the groups of a dead node are spread over the survivors": case(
        {"g": "b", "h": "c", "i": "b", "k": "c"},
        nodes="abc",
        groups=[group(name) for name in "ghik"],
        running={"k": "c", "i": "b"},
        placed={"g": "a", "h": "a"},
        down="a",
    ),
    "a witness never owns": case(
        {"g": None},
        {"g": Why.NO_NODE},
        nodes=[node("w", roles=frozenset({Role.WITNESS, Role.CONTROL}))],
        groups=[group("g", "w")],
    ),
    "labels choose": case(
        {"g": "b"}, nodes=[node("a"), node("b", labels={"disk": "fast"})], groups=[group("g", labels={"disk": "fast"})]
    ),
    "candidates go before labelled nodes": case(
        {"g": "a"},
        nodes=[node("a"), node("b", labels={"disk": "fast"})],
        groups=[group("g", "a", labels={"disk": "fast"})],
    ),
    "a labelled node takes over when the candidate is down": case(
        {"g": "b"},
        nodes=[node("a"), node("b", labels={"disk": "fast"})],
        groups=[group("g", "a", labels={"disk": "fast"})],
        down="a",
    ),
    "of two that compete for a place the higher priority goes first": case(
        {"g": None, "h": "a"},
        {"g": Why.NO_ROOM},
        nodes=[node("a", most_groups=1)],
        groups=[group("g", "a"), group("h", "a", priority=5)],
    ),
    "a node that is full gets nothing": case(
        {"g": "a", "h": "b"},
        nodes=[node("a", most_groups=1), node("b")],
        groups=[group("g", "a"), group("h", "a", "b")],
        running={"g": "a"},
    ),
    "what runs stays, whatever it prefers": case(
        {"g": "c"}, nodes="abc", groups=[group("g", "a", "b", "c")], running={"g": "c"}
    ),
    "what was placed and is not owned yet stays placed": case(
        {"g": "c"}, nodes="abc", groups=[group("g", "a", "b", "c")], placed={"g": "c"}
    ),
    "groups that must be apart are": case(
        {"g": "a", "h": "b"}, nodes="ab", groups=[group("g", "a", "b"), group("h", "a", "b", apart="g")]
    ),
    "apart, and no second node: the less important is nowhere": case(
        {"g": None, "h": "a"},
        {"g": Why.NO_ROOM},
        nodes="a",
        groups=[group("g", apart="h"), group("h", priority=1)],
    ),
    "made apart while both run: one moves": case(
        {"g": "a", "h": "b"},
        {"h": Why.APART},
        nodes="ab",
        groups=[group("g"), group("h", apart="g")],
        running={"g": "a", "h": "a"},
    ),
    "made apart with nowhere to go: one stops": case(
        {"g": "a", "h": None}, nodes="a", groups=[group("g"), group("h", apart="g")], running={"g": "a", "h": "a"}
    ),
    "groups that belong together are": case(
        {"g": "b", "h": "b"}, nodes="abc", groups=[group("g", "b"), group("h", together="g")], down="ac"
    ),
    "one joins the other that runs": case(
        {"g": "c", "h": "c"},
        {"g": Why.STAYS, "h": Why.TOGETHER},
        nodes="abc",
        groups=[group("g"), group("h", together="g")],
        running={"g": "c"},
    ),
    "both go elsewhere when there is no room for the other": case(
        {"g": "b", "h": "b"},
        nodes=[node("a", most_groups=1), node("b")],
        groups=[group("g"), group("h", together="g")],
        running={"g": "a"},
    ),
    "room for both is nowhere: what runs goes on": case(
        {"g": "a", "h": None},
        {"g": Why.STAYS, "h": Why.NO_ROOM},
        nodes=[node("a", most_groups=1), node("b", most_groups=1)],
        groups=[group("g"), group("h", together="g")],
        running={"g": "a"},
    ),
    "together and apart at once: apart counts": case(
        {"g": "a", "h": "b"}, nodes="ab", groups=[group("g", apart="h"), group("h", together="g")]
    ),
    "an operator's wish is followed": case(
        {"g": "b"},
        {"g": Why.WISH},
        nodes="ab",
        groups=[group("g", "a", "b")],
        running={"g": "a"},
        wishes=wish("g", "b"),
    ),
    "a wish for a node that is down waits": case(
        {"g": "a"}, nodes="ab", groups=[group("g", "a", "b")], running={"g": "a"}, wishes=wish("g", "b"), down="b"
    ),
    "a wish for a node that may not own it counts for nothing": case(
        {"g": "a"}, nodes="abc", groups=[group("g", "a", "b")], running={"g": "a"}, wishes=wish("g", "c")
    ),
    "a stopped group is nowhere": case(
        {"g": None},
        {"g": Why.STOPPED},
        nodes="a",
        groups=[group("g")],
        running={"g": "a"},
        wishes=wish("g", stopped=True),
    ),
    "a drained node is emptied": case(
        {"g": "b"}, {"g": Why.DRAINED}, nodes="ab", groups=[group("g", "a", "b")], running={"g": "a"}, drained="a"
    ),
    "what can go nowhere else stays on a drained node": case(
        {"g": "a"}, nodes="ab", groups=[group("g", "a")], running={"g": "a"}, drained="a"
    ),
    "from a drained node it goes to one that has been upgraded": case(
        {"g": "c"},
        {"g": Why.DRAINED},
        nodes="abc",
        groups=[group("g", "a", "b", "c")],
        running={"g": "a"},
        drained="a",
        behind="ab",
    ),
    "from a drained node it goes to one yet to be upgraded where there is no other": case(
        {"g": "b"},
        nodes="abc",
        groups=[group("g", "a", "b", "c")],
        running={"g": "a"},
        drained="a",
        behind="ab",
        down="c",
    ),
    "failback: not from an upgraded node to one that an upgrade has yet to reach": case(
        {"g": "b"}, nodes="ab", groups=[group("g", "a", "b", failback=AUTOMATIC)], running={"g": "b"}, behind="a"
    ),
    "a new group avoids a drained node": case({"g": "b"}, nodes="ab", groups=[group("g", "a", "b")], drained="a"),
    "but goes there when nothing else is left": case(
        {"g": "a"}, nodes="ab", groups=[group("g", "a", "b")], drained="a", down="b"
    ),
    "a node that cannot serve it loses it": case(
        {"g": "b"}, {"g": Why.UNFIT}, nodes="ab", groups=[group("g", "a", "b")], running={"g": "a"}, unfit=["ga"]
    ),
    "and keeps it when nobody else is there": case(
        {"g": "a"}, nodes="ab", groups=[group("g", "a", "b")], running={"g": "a"}, unfit=["ga"], down="b"
    ),
    "a node that is ready at once goes before a preferred one that is not": case(
        {"g": "b"}, nodes="ab", groups=[group("g", "a", "b")], cold=["ga"]
    ),
    "a node taken off the candidates loses it": case(
        {"g": "b"}, {"g": Why.NOT_ALLOWED}, nodes="ab", groups=[group("g", "b")], running={"g": "a"}
    ),
    "a limit lowered below what runs moves the least important away": case(
        {"g": "b", "h": "a"},
        {"g": Why.LIMIT, "h": Why.STAYS},
        nodes=[node("a", most_groups=1), node("b")],
        groups=[group("g"), group("h", priority=3)],
        running={"g": "a", "h": "a"},
    ),
    "and leaves it running when there is no room": case(
        {"g": "a", "h": "a"},
        nodes=[node("a", most_groups=1)],
        groups=[group("g"), group("h")],
        running=dict.fromkeys("gh", "a"),
    ),
    "failback: manual stays": case({"g": "b"}, nodes="ab", groups=[group("g", "a", "b")], running={"g": "b"}),
    "failback: automatic goes back once the node is well for long enough": case(
        {"g": "a"},
        {"g": Why.FAILBACK},
        nodes="ab",
        groups=[group("g", "a", "b", failback=AUTOMATIC)],
        running={"g": "b"},
        well={"a": 60},
    ),
    "failback: automatic not before": case(
        {"g": "b"}, nodes="ab", groups=[group("g", "a", "b", failback=AUTOMATIC)], running={"g": "b"}, well={"a": 59}
    ),
    "failback: it waits for the best node instead of moving twice": case(
        {"g": "c"}, nodes="abc", groups=[group("g", *"abc", failback=AUTOMATIC)], running={"g": "c"}, well={"a": 1}
    ),
    "failback: not to a drained node": case(
        {"g": "b"}, nodes="ab", groups=[group("g", "a", "b", failback=AUTOMATIC)], running={"g": "b"}, drained="a"
    ),
    "failback: outside of the window it stays": case(
        {"g": "b"}, nodes="ab", groups=[group("g", "a", "b", failback=NIGHTLY)], running={"g": "b"}, minute=12 * 60
    ),
    "failback: in the window it goes back": case(
        {"g": "a"}, nodes="ab", groups=[group("g", "a", "b", failback=NIGHTLY)], running={"g": "b"}, minute=60
    ),
    "a move under way goes on": case(
        {"g": "b"}, nodes="ab", groups=[group("g", "a", "b")], running={"g": "a"}, placed={"g": "b"}
    ),
    "a move to a node that died is called off": case(
        {"g": "a"}, nodes="ab", groups=[group("g", "a", "b")], running={"g": "a"}, placed={"g": "b"}, down="b"
    ),
    "a group that is not known here counts for nothing": case({}, nodes="a", groups=[], running={"x": "a"}),
}


@pytest.mark.parametrize("name", CASES)
def test_placement(name: str) -> None:
    chosen = CASES[name]
    made = place(chosen.given)
    assert {str(group): choice.node for group, choice in made.items()} == chosen.expected
    for group_name, why in (chosen.why or {}).items():
        assert made[GroupName(group_name)].why == why


def test_a_drained_node_is_emptied_few_groups_at_a_time() -> None:
    groups = [group(f"g{number}") for number in range(10)]
    given = situation("abc", groups, running={each.name: "a" for each in groups}, drained="a")
    policy = Policy(moves_at_once=3)
    left = []
    while "a" in given.running.values():
        goals = placements(place(given, policy))
        moved = {name for name, goal in goals.items() if goal.node != given.running[name]}
        left.append(len(moved))
        arrived = {name: goals[name].node or given.running[name] for name in goals}
        given = replace(given, running=arrived, placed=goals)
    assert left == [3, 3, 3, 1]
    assert sorted(given.running.values()).count(NodeName("b")) == 5


def test_a_wish_that_was_followed_is_only_a_preference_afterwards() -> None:
    given = situation("ab", [group("g", "a", "b")], running={"g": "a"}, wishes=wish("g", "b"))
    followed = placements(place(given))
    lost = replace(given, running={}, placed=followed, ready={NodeName("a"): 9.0})
    fallen_back = placements(place(lost))
    assert fallen_back[GroupName("g")].node == "a"
    again = replace(given, running={GroupName("g"): NodeName("a")}, placed=fallen_back)
    assert where(again) == {"g": "a"}


def test_a_wish_that_could_not_be_followed_is_followed_when_its_node_is_back() -> None:
    given = situation("ab", [group("g", "a", "b")], running={"g": "a"}, wishes=wish("g", "b"), down="b")
    waiting = replace(given, placed=placements(place(given)))
    assert where(replace(waiting, ready=dict.fromkeys(map(NodeName, "ab"), 1.0))) == {"g": "b"}


def test_a_group_on_its_way_occupies_both_places() -> None:
    nodes = [node("a", most_groups=1), node("b", most_groups=1)]
    groups = [group("g", "a", "b"), group("h", "a", "b")]
    given = situation(nodes, groups, running={"g": "a"}, placed={"g": "b"})
    assert where(given) == {"g": "b", "h": None}


def test_groups_of_another_kind_count_against_the_limit() -> None:
    given = situation([node("a", most_groups=1), node("b")], [group("g", "a", "b")])
    assert where(replace(given, burden={NodeName("a"): 1})) == {"g": "b"}


def test_a_placement_nowhere_is_remembered_with_its_reason() -> None:
    given = situation("a", [group("g")], placed={"g": None}, down="a")
    assert given.placed[GroupName("g")] == Placement(group=GroupName("g"))
    assert place(given)[GroupName("g")].why is Why.NO_NODE


@pytest.mark.parametrize(
    ("window", "clock", "inside"),
    [
        ("02:00-05:00", "02:00", True),
        ("02:00-05:00", "04:59", True),
        ("02:00-05:00", "05:00", False),
        ("22:00-05:00", "23:00", True),
        ("22:00-05:00", "04:00", True),
        ("22:00-05:00", "12:00", False),
        ("00:00-00:00", "12:00", True),
    ],
)
def test_a_window_may_go_over_midnight(window: str, clock: str, inside: bool) -> None:
    hours, minutes = map(int, clock.split(":"))
    assert within(window, 60 * hours + minutes) is inside
