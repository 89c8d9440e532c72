"""500 nodes, 10,000 groups, 10 nodes lost at once. How long it takes is measured by `./run bench placement`."""

from __future__ import annotations

import pytest

from appliance.cluster.names import NodeName
from appliance.coordination.store import Delete
from appliance.ownership.decisions import OrderFence, Take
from tests.unit.controller.large import cluster, decide, lose

LOST = [NodeName(f"n{number:03}") for number in range(0, 500, 50)]


@pytest.mark.parametrize("anywhere", [False, True], ids=["three candidates each", "any node"])
def test_losing_ten_nodes_of_five_hundred_moves_their_groups_and_no_others(anywhere: bool) -> None:
    known = cluster(500, 2_000 if anywhere else 10_000, anywhere=anywhere)
    quiet = decide(known)
    assert quiet.judgements == []
    ordered = decide(lose(known, LOST, fenced=False))
    assert {each.decision.node for each in ordered.judgements if isinstance(each.decision, OrderFence)} == set(LOST)
    taken = decide(lose(known, LOST, fenced=True))
    takes = [each for each in taken.judgements if isinstance(each.decision, Take)]
    assert len(takes) == len(taken.judgements) == len(known.groups) // 50
    moved = {name for name, goal in taken.goals.items() if goal != quiet.goals[name]}
    assert moved == {each.case.group for each in takes}
    assert not {taken.goals[name] for name in moved} & set(LOST)


def test_the_groups_of_one_node_go_in_one_transaction() -> None:
    known = lose(cluster(5, 40), [NodeName("n000")], fenced=True)
    first, *_ = decide(known).judgements
    assert isinstance(first.decision, Take)
    assert len(first.case.others) == 7
    ends = [change.key for change in first.decision.transaction.changes if isinstance(change, Delete)]
    assert ends == ["/posthouse/v1/sessions/n000"]


def test_so_many_groups_go_in_one_transaction_as_the_store_takes() -> None:
    known = lose(cluster(2, 400, anywhere=True), [NodeName("n000")], fenced=True)
    first, *_ = decide(known).judgements
    assert isinstance(first.decision, Take)
    assert len(set(first.decision.transaction.guards)) + 1 <= 128
    assert len(first.decision.transaction.changes) <= 128
