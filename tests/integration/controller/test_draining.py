"""Nodes that an operator wants empty, and groups that go back: a real etcd, real controllers, fake keepers."""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.cluster import keys
from appliance.cluster.model import Failback, FailbackPolicy
from appliance.cluster.names import NodeName
from appliance.cluster.report import NodeReport
from appliance.operations import nodes
from tests.integration.controller.stage import Stage

DRAINED, FAILBACK = "placement-drained", "placement-failback"


def three(stage: Stage) -> None:
    for name in "abc":
        stage.node(name)


def drain(stage: Stage, name: str) -> None:
    nodes.drain(stage.store, NodeName(name))


def resume(stage: Stage, name: str) -> bool:
    return nodes.resume(stage.store, NodeName(name))


def report(stage: Stage, name: str, release: str) -> None:
    said = NodeReport(
        node=NodeName(name), release=release, reported_at=0.0, store_connected=True, owned_groups=(), instances=()
    )
    stage.store.put(keys.status(said.node), said.model_dump_json())


def moves(stage: Stage, group: str) -> int:
    """How often its placement was told to be another node than before, by the decision log."""
    return sum(event.key.startswith("placement-") and event.group == group for event in stage.events()) - 1


def decided_again(stage: Stage) -> None:
    """Wait until the leader has decided once more than it had: a new group finds its place."""
    name = f"probe{len(stage.events())}"
    stage.group(name)
    stage.wait_until("the leader decided", lambda: stage.confirmed(name))


def test_a_drained_node_is_left_and_gets_nothing_until_it_is_resumed(stage: Stage) -> None:
    three(stage)
    stage.group("one", "a", "b", "c")
    stage.group("two", "a", "c")
    stage.controller("b")
    stage.wait_owned({"one": "a", "two": "a"})
    drain(stage, "a")
    stage.wait_owned({"one": "b", "two": "c"})
    assert len(stage.told(DRAINED)) == 2
    drain(stage, "a")  # once more changes nothing
    stage.group("three", "a", "b")
    stage.wait_owned({"three": "b"})
    assert resume(stage, "a")
    assert not resume(stage, "a")
    stage.group("four", "a", "b")
    stage.wait_owned({"one": "b", "two": "c", "three": "b", "four": "a"})


def test_a_drained_node_that_starts_again_takes_nothing(stage: Stage) -> None:
    three(stage)
    stage.group("one", "a", "b", "c")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    drain(stage, "a")
    stage.wait_owned({"one": "b"})
    stage.keepers["a"].die()
    stage.node("a")
    stage.fence("b")
    stage.keepers["b"].die()
    stage.wait_owned({"one": "c"})


def test_while_one_node_is_drained_another_may_be_and_the_last_one_keeps_its_groups(stage: Stage) -> None:
    three(stage)
    stage.group("one", "a", "b", "c")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    for left, to in (("a", "b"), ("b", "c")):
        drain(stage, left)
        stage.wait_owned({"one": to})
    drain(stage, "c")
    stage.group("two", "a", "b", "c")  # better on a drained node than nowhere
    stage.wait_until("it is somewhere", lambda: stage.confirmed("two"))
    assert stage.confirmed("one") == "c"
    resume(stage, "b")
    stage.wait_owned({"one": "b"})


def test_draining_the_node_whose_controller_leads_moves_its_groups_and_not_the_lead(stage: Stage) -> None:
    three(stage)
    stage.group("one", "a", "b")
    stage.controller("a")
    stage.wait_owned({"one": "a"})
    drain(stage, "a")
    stage.wait_owned({"one": "b"})
    assert stage.leader() == "a"


def test_a_rolling_upgrade_moves_each_group_to_a_node_that_has_been_upgraded(stage: Stage) -> None:
    three(stage)
    for name, first in (("one", "a"), ("two", "b"), ("three", "b")):
        stage.group(name, first, *sorted({"a", "b", "c"} - {first}))
    stage.controller("c")
    stage.wait_owned({"one": "a", "two": "b", "three": "b"})
    for name in "abc":
        report(stage, name, "0.1.0")
    for name in "cab":  # first the node that owns nothing
        drain(stage, name)
        owned = [group for group in ("one", "two", "three") if stage.confirmed(group) == name]
        stage.wait_until("empty", lambda: not any(stage.confirmed(group) == name for group in owned))  # noqa: B023
        stage.wait_until("all serve", lambda: all(map(stage.confirmed, ("one", "two", "three"))))
        report(stage, name, "0.2.0")
        resume(stage, name)
    decided_again(stage)
    assert {group: moves(stage, group) for group in ("one", "two", "three")} == {"one": 1, "two": 1, "three": 1}


def window(*, of_now: bool) -> str:
    """A window of maintenance that is open now, or opens in some hours."""
    begins = datetime.now().astimezone() + timedelta(hours=-1 if of_now else 3)
    return f"{begins:%H:%M}-{begins + timedelta(hours=2):%H:%M}"


def test_groups_go_back_as_their_policies_say(stage: Stage) -> None:
    three(stage)
    stage.fence("a")
    returning = {
        "automatic": Failback(policy=FailbackPolicy.AUTOMATIC, settle=1.0),
        "within": Failback(policy=FailbackPolicy.WINDOW, window=window(of_now=True), settle=1.0),
    }
    staying = {
        "unsettled": Failback(policy=FailbackPolicy.AUTOMATIC, settle=3600.0),
        "outside": Failback(policy=FailbackPolicy.WINDOW, window=window(of_now=False), settle=1.0),
        "manual": Failback(policy=FailbackPolicy.MANUAL, settle=1.0),
    }
    for name, policy in {**returning, **staying}.items():
        stage.group(name, "a", "b", failback=policy)
    stage.controller("c")
    stage.wait_owned(dict.fromkeys({**returning, **staying}, "a"))
    stage.keepers["a"].die()
    stage.wait_owned(dict.fromkeys({**returning, **staying}, "b"))
    stage.node("a")
    stage.wait_owned(dict.fromkeys(returning, "a"))
    decided_again(stage)
    stage.wait_owned({**dict.fromkeys(returning, "a"), **dict.fromkeys(staying, "b")})
    assert {str(event.group) for event in stage.told(FAILBACK)} == set(returning)
    for name in staying:
        stage.wish(name, "a")  # the operator's word counts at any time
    stage.wait_owned(dict.fromkeys(staying, "a"))
