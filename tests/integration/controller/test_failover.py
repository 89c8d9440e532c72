"""What the controller does when a node falls silent: a real etcd, a real fence program, the protocol's own keepers."""

from __future__ import annotations

import pytest

from appliance.cluster import keys
from appliance.cluster.decided import FenceProgress
from appliance.cluster.model import Basis
from appliance.cluster.names import NodeName
from appliance.cluster.timing import FenceMode
from tests.integration.controller.stage import Stage
from tests.lab.polling import wait_until


def three(stage: Stage, *, silence: bool = False) -> None:
    for name in "abc":
        stage.node(name, silence=silence)


def test_new_groups_are_granted_and_taken_up(stage: Stage) -> None:
    three(stage)
    stage.group("one", "b", "a")
    stage.group("two")
    stage.controller("a")
    stage.wait_until("both", lambda: stage.confirmed("one") == "b" and stage.confirmed("two"))
    owner = stage.owner("one")
    assert owner is not None
    assert owner.basis is Basis.UNOWNED
    assert stage.told("event-grant-unowned")
    assert stage.told("placement-home")


def test_a_dead_nodes_groups_are_taken_over_after_a_verified_fence(stage: Stage) -> None:
    three(stage)
    plug = stage.fence("a")
    for name in ("one", "two", "three", "four"):
        stage.group(name, "a")
    stage.controller("b")
    stage.wait_owned(dict.fromkeys(("one", "two", "three", "four"), "a"))
    for name in ("one", "two", "three", "four"):
        stage.group(name)
    stage.keepers["a"].die()
    stage.wait_until("taken", lambda: {stage.confirmed(n) for n in ("one", "two", "three", "four")} == {"b", "c"})
    orders = plug.with_suffix(".log").read_text().split()
    assert orders[orders.index("off") + 1] == "status"
    record = stage.fence_record("a")
    assert record is not None
    assert record.progress is FenceProgress.VERIFIED
    assert {stage.owner(n).basis for n in ("one", "two", "three", "four")} == {Basis.FENCED}  # type: ignore[union-attr]
    owners = [stage.confirmed(n) for n in ("one", "two", "three", "four")]
    assert sorted(owners) == ["b", "b", "c", "c"]  # type: ignore[type-var]
    assert len(stage.told("event-grant-fenced")) == 4


def test_a_node_that_came_back_is_told_and_its_fence_forgotten(stage: Stage) -> None:
    three(stage)
    stage.fence("a")
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    stage.keepers["a"].die()
    stage.wait_owned({"one": "b"})
    stage.node("a")
    stage.wait_until("forgotten", lambda: stage.fence_record("a") is None and stage.told("event-node-back"))
    assert stage.confirmed("one") == "b"


@pytest.mark.parametrize(
    ("mode", "event"),
    [("refuses", "event-fence-refused"), ("hangs", "event-fence-unanswered"), ("lies", "event-fence-unverified")],
)
def test_a_fence_that_does_not_cut_off_takes_nothing_over(stage: Stage, mode: str, event: str) -> None:
    three(stage)
    plug = stage.fence("a", mode, timeout=1.0)
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    stage.keepers["a"].die()
    stage.wait_until("the trouble is told", lambda: stage.told(event))
    stage.wait_until("the operator is needed", lambda: (report := stage.report()) and report.waiting and report.notices)
    stage.wait_until("ordered again", lambda: plug.with_suffix(".log").read_text().split().count("off") > 1)
    owner = stage.owner("one")
    assert owner is not None
    assert owner.node == "a"
    assert len(stage.told(event)) == 1
    plug.with_suffix(".mode").write_text("")
    stage.wait_owned({"one": "b"})
    stage.wait_until("well again", lambda: (r := stage.report()) and not r.waiting and not r.notices)


def test_a_fence_that_says_it_failed_and_did_it_is_read(stage: Stage) -> None:
    three(stage)
    stage.fence("a", "unsure")
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    stage.keepers["a"].die()
    stage.wait_owned({"one": "b"})


def test_a_wrong_secret_is_told_without_the_secret(stage: Stage) -> None:
    three(stage)
    stage.fence("a", password="not the one")
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    stage.keepers["a"].die()
    stage.wait_until("told", lambda: stage.told("event-fence-refused"))
    assert "wrong password" in str(stage.told("event-fence-refused")[0].facts["detail"])
    everything = stage.explain()
    assert "not the one" not in everything


def test_without_a_fence_the_operator_is_asked_and_the_word_is_used_once(stage: Stage) -> None:
    three(stage)
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    epoch = stage.keepers["a"].epoch
    assert epoch is not None
    stage.keepers["a"].die()
    stage.wait_until("the operator is needed", lambda: (report := stage.report()) and report.waiting)
    report = stage.report()
    assert report is not None
    assert (report.waiting[0].node, report.waiting[0].session_epoch, report.waiting[0].groups) == ("a", epoch, ("one",))
    assert stage.confirmed("one") == "a"
    stage.acknowledge("a", epoch)
    stage.wait_owned({"one": "b"})
    key = keys.acknowledgement(NodeName("a"))
    stage.wait_until("the word is forgotten", lambda: stage.store.get(key) is None)
    assert stage.told("event-grant-acknowledged")


def test_an_armed_watchdog_is_waited_for(stage: Stage) -> None:
    stage.begin(mode=FenceMode.WATCHDOG)
    three(stage, silence=True)
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    stage.keepers["a"].die()
    stage.wait_until("the waiting is told", lambda: stage.told("event-wait-silence"))
    assert stage.confirmed("one") == "a"
    stage.wait_owned({"one": "b"})
    owner = stage.owner("one")
    assert owner is not None
    assert owner.basis is Basis.WAITED


def test_a_node_that_two_others_cannot_reach_is_fenced_once_a_renewal_is_overdue_and_not_before(stage: Stage) -> None:
    three(stage)
    stage.node("d")
    plug = stage.fence("a")
    stage.group("one", "a", "b")
    stage.group("two", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a", "two": "b"})
    stage.observe("c", "a")
    stage.observe("d", "a")
    # Longer than it takes to call a node silent: a move there and back is decided meanwhile.
    for node in "bc" * 3:
        stage.group("two", "b", "c")
        stage.wish("two", node)
        stage.wait_owned({"two": node})
    assert plug.read_text() == "on"
    assert stage.confirmed("one") == "a"
    stage.keepers["a"].die()
    stage.wait_until("off", lambda: plug.read_text() == "off")
    stage.wait_owned({"one": "b"})


def test_the_word_of_one_observer_or_of_one_that_reaches_nobody_fences_nobody(stage: Stage) -> None:
    three(stage)
    stage.node("d")
    plug = stage.fence("a")
    stage.group("one", "a", "b")
    stage.group("two", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a", "two": "b"})
    stage.observe("c", "a")
    stage.observe("d", "a", "b", "c")
    stage.wish("two", "b")
    # Longer than it takes to call a node silent: a move there and back is decided meanwhile.
    for node in "bc" * 3:
        stage.group("two", "b", "c")
        stage.wish("two", node)
        stage.wait_owned({"two": node})
    assert plug.read_text() == "on"
    assert stage.confirmed("one") == "a"


def test_a_group_moves_as_wished_and_stops_and_starts(stage: Stage) -> None:
    three(stage)
    stage.group("one", "a", "b")
    stage.controller("c")
    stage.wait_owned({"one": "a"})
    stage.wish("one", "b")
    stage.wait_owned({"one": "b"})
    owner = stage.owner("one")
    assert owner is not None
    assert owner.basis is Basis.HANDED_OVER
    stage.wish("one", stopped=True)
    stage.wait_until("nobody owns it", lambda: stage.owner("one") is None)
    placement = stage.placement("one")
    assert placement is not None
    assert (placement.node, placement.reason) == (None, "placement-stopped")
    stage.store.delete(keys.wish(placement.group))
    stage.wait_owned({"one": "a"})


def test_a_group_starts_only_after_the_one_that_must_run_before(stage: Stage) -> None:
    three(stage)
    stage.group("late", "a", start_after=["early"])
    stage.group("early", "d")
    stage.controller("c")
    stage.wait_until("it waits", lambda: stage.told("event-start-waits"))
    assert stage.owner("late") is None
    stage.node("d")
    stage.wait_owned({"early": "d", "late": "a"})


def test_a_grant_that_nobody_takes_up_goes_to_the_node_that_is_wished(stage: Stage) -> None:
    stage.node("a", idle=True)
    stage.node("b")
    stage.group("one", "a", "b")
    stage.controller("c")
    stage.wait_until("granted", lambda: (owner := stage.owner("one")) and owner.node == "a")
    stage.wish("one", "b")
    stage.wait_owned({"one": "b"})


def test_the_store_without_an_answer_decides_nothing_and_goes_on_afterwards(stage: Stage) -> None:
    three(stage)
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    log = stage.folder / "controller-b.log"
    stage.server.freeze()
    stage.keepers["a"].die()

    wait_until("nothing is decided", lambda: "nothing is decided" in log.read_text())
    stage.server.thaw()
    stage.wait_until("asked", lambda: (report := stage.report()) and report.waiting)
