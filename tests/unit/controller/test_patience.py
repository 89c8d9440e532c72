"""How long a move may take before the node that does not let go is cut off."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.report import NodeReport, StandbyReport, VolumeCondition, VolumeReport
from controller.events import DecisionLog
from controller.patience import HANGING, Patience, worth_cutting_off
from controller.view import Seen
from tests.unit.controller.situations import group, node
from tests.unit.controller.test_cases import known

MAIL, ONE, OTHER = GroupName("mail"), NodeName("mail1"), NodeName("mail2")
MOST = 60.0


def stuck_after(seconds: float, *, hanging: bool) -> bool:
    patience = Patience(DecisionLog(OTHER))
    pairs = frozenset({(MAIL, ONE)}) if hanging else frozenset()
    for now in (0.0, seconds):
        patience.watch_moves({MAIL: ONE}, {MAIL: OTHER}, now, MOST, pairs)
    return MAIL in patience.stuck


def test_a_move_away_from_a_volume_that_hangs_is_given_less_time() -> None:
    assert not stuck_after(HANGING - 1, hanging=True)
    assert stuck_after(HANGING, hanging=True)
    assert not stuck_after(HANGING, hanging=False)
    assert stuck_after(MOST, hanging=False)


def cut_off(*, at_goal: dict[str, Any] | None = None, away: str = "", voters: str = "abc") -> bool:
    """Whether node a, which does not let go of g on its way to b, may be cut off; `away`: nodes that are silent."""
    said = {"release": "1", "reported_at": 0.0, "store_connected": True, "owned_groups": (), "instances": ()}
    reports = {"b": Seen(NodeReport(node=NodeName("b"), **{**said, **(at_goal or {})}), 1)}
    nodes = {name: Seen(node(name, voter=name in voters), 1) for name in "abc"}
    tables = {keys.STATUS: reports, keys.NODES: nodes}
    seen = known(group("g"), group("h"), owned={"g": "a", "h": "b"}, silent=away, tables=tables)
    g, a = GroupName("g"), NodeName("a")
    return worth_cutting_off(seen, {g: a}, {g: NodeName("b")}) == {g: a}


def test_a_node_that_does_not_let_go_may_be_cut_off() -> None:
    assert cut_off()
    assert cut_off(away="c", voters="bc")  # it has no vote to lose


@pytest.mark.parametrize(
    "at_goal",
    [
        pytest.param(
            {"volumes": (VolumeReport(group=GroupName("h"), condition=VolumeCondition.HANGING),)}, id="hangs there too"
        ),
        pytest.param({"standby": (StandbyReport(group=GroupName("g"), ready=False),)}, id="could not serve it"),
    ],
)
def test_but_not_when_nothing_would_be_won(at_goal: dict[str, Any]) -> None:
    assert not cut_off(at_goal=at_goal)


def test_nor_when_the_store_would_lose_its_majority() -> None:
    assert not cut_off(away="c")
    assert not cut_off(voters="ab")
