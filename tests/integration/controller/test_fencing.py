"""What a fence may have wrong, and what becomes of a node that was cut off: a real etcd and a real fence program."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from appliance.cluster import keys
from appliance.cluster.decided import FenceCheck, FenceProblem, FenceProgress, FenceRequest, PowerOns
from appliance.cluster.names import NodeName
from controller.fencing.progress import REST
from tests.integration.controller.stage import Stage
from tests.integration.controller.test_failover import three

A = NodeName("a")


def orders(plug: Path, action: str) -> int:
    """How often the fence was asked for this."""
    return plug.with_suffix(".log").read_text().split().count(action)


def request(stage: Stage) -> None:
    epoch = stage.keepers["a"].epoch
    assert epoch is not None
    stage.store.put(keys.fence_request(A), FenceRequest(node=A, session_epoch=epoch, by="me").model_dump_json())


def renew(stage: Stage) -> None:
    """The session of a node whose keeper is stopped, renewed as its keeper would."""
    record = stage.store.get(keys.session(A))
    assert record is not None
    stage.store.put(record.key, record.value)


def check(stage: Stage) -> FenceCheck | None:
    record = stage.store.get(keys.fence_check(A))
    return FenceCheck.model_validate_json(record.value) if record else None


def rest_is_over(stage: Stage) -> None:
    """Past the moment at which a node that was cut off is switched on."""
    until = time.monotonic() + REST + 2.0
    stage.wait_until("so long", lambda: time.monotonic() >= until)


def owned_by_a(stage: Stage, mode: str = "", timeout: float = 2.0) -> Path:
    """Three nodes; `a` owns the group `one`, `b` leads."""
    three(stage)
    plug = stage.fence("a", mode, timeout=timeout)
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    return plug


def test_nothing_is_taken_from_a_node_that_renews_after_its_fence_read_off(stage: Stage) -> None:
    """It may give its group away in order, as it is asked to; it lives."""
    owned_by_a(stage)
    request(stage)
    stage.wait_until("told", lambda: stage.told("event-fence-missed"))
    assert not stage.told("event-grant-fenced")
    stage.wait_until("told to people", lambda: (r := stage.report()) and r.notices)
    assert [notice.key for notice in stage.report().notices] == ["alert-fence-misses"]  # type: ignore[union-attr]


def test_a_fence_that_missed_is_not_relied_on_until_it_is_set_anew(stage: Stage) -> None:
    plug = owned_by_a(stage)
    stage.group("one", "a")
    request(stage)
    stage.wait_until("told", lambda: stage.told("event-fence-missed"))
    assert stage.told("event-fence-verified")
    stage.wait_until("noted", lambda: (found := check(stage)) and found.problem is FenceProblem.MISSES)
    stage.group("one", "a", "b")
    stage.wait_owned({"one": "a"})
    before = orders(plug, "off")
    stage.keepers["a"].die()
    stage.wait_until("the operator is asked", lambda: stage.told("event-ask-operator"))
    assert orders(plug, "off") == before
    plug = stage.fence("a")
    stage.wait_owned({"one": "b"})
    assert orders(plug, "off") >= 1


def test_a_node_that_renews_again_is_fenced_no_more_and_nothing_stands_against_it(stage: Stage) -> None:
    plug = owned_by_a(stage, "lies")
    stage.keepers["a"].die()
    stage.wait_until("told", lambda: stage.told("event-fence-unverified"))

    def over() -> bool:
        renew(stage)
        return bool(stage.told("event-fence-over"))

    stage.wait_until("the case is closed", over)
    assert stage.fence_record("a") is None
    before = orders(plug, "off")

    def well() -> bool:
        renew(stage)
        report = stage.report()
        return report is not None and not report.notices

    stage.wait_until("nothing stands against it", well)
    assert orders(plug, "off") == before
    assert stage.confirmed("one") == "a"


def test_an_order_that_hangs_is_broken_off_when_the_node_renews_again(stage: Stage) -> None:
    plug = owned_by_a(stage, "hangs", timeout=20.0)
    stage.keepers["a"].die()
    stage.wait_until("ordered", lambda: orders(plug, "off"))
    plug.with_suffix(".mode").write_text("")

    def broken_off() -> bool:
        renew(stage)
        return bool(stage.told("event-fence-renewed")) and bool(stage.told("event-fence-over"))

    stage.wait_until("broken off, and over", broken_off, timeout=15.0)
    assert plug.read_text() == "on"
    assert stage.confirmed("one") == "a"


def test_a_node_that_was_cut_off_is_switched_on_again_once_its_groups_are_taken(stage: Stage) -> None:
    plug = owned_by_a(stage)
    stage.keepers["a"].die()
    stage.wait_owned({"one": "b"})
    stage.wait_until("switched on", lambda: plug.read_text() == "on" and stage.told("event-power-on"))
    stage.controllers["b"].kill()
    stage.controller("c")
    stage.wait_until("another one leads", lambda: stage.leader() == "c")
    stage.node("a")
    stage.wait_until("it is back", lambda: stage.told("event-node-back"))
    assert orders(plug, "on") == 1


def test_a_node_that_an_operator_had_cut_off_stays_off(stage: Stage) -> None:
    plug = owned_by_a(stage)
    stage.keepers["a"].die()
    request(stage)
    stage.wait_owned({"one": "b"})
    record = stage.fence_record("a")
    assert record is not None
    assert record.progress is FenceProgress.VERIFIED
    assert record.stays_off
    rest_is_over(stage)
    assert plug.read_text() == "off"


def test_a_node_that_was_switched_on_often_stays_off_until_somebody_switches_it_on(stage: Stage) -> None:
    plug = owned_by_a(stage)
    counted = PowerOns(node=A, at=(datetime.now(UTC),) * 2)
    stage.store.put(keys.power_ons(A), counted.model_dump_json())
    stage.controllers["b"].kill()
    stage.controller("c")
    stage.wait_until("another one leads", lambda: stage.leader() == "c")
    stage.keepers["a"].die()
    stage.wait_until("switched on the third time", lambda: plug.read_text() == "on" and stage.told("event-power-on"))
    stage.node("a")
    stage.wait_until("it is back", lambda: stage.told("event-node-back"))
    stage.group("one", "a")
    stage.wait_owned({"one": "a"})
    stage.group("one", "a", "b")
    stage.keepers["a"].die()
    stage.wait_until("told", lambda: stage.told("event-held-off"))
    assert plug.read_text() == "off"
    stage.wait_until("told to people", lambda: (r := stage.report()) and r.notices)
    assert [notice.key for notice in stage.report().notices] == ["alert-node-held-off"]  # type: ignore[union-attr]
    plug.write_text("on")
    stage.node("a")
    stage.wait_until("nothing stands against it", lambda: (r := stage.report()) and not r.notices)


def test_no_node_is_switched_on_where_that_is_not_wanted(stage: Stage) -> None:
    stage.store.put(keys.setting("system", "-", "controller.power_on_fenced"), "false")
    plug = owned_by_a(stage)
    stage.keepers["a"].die()
    stage.wait_owned({"one": "b"})
    rest_is_over(stage)
    assert plug.read_text() == "off"


def test_every_fence_is_read_before_it_is_needed(stage: Stage) -> None:
    plug = owned_by_a(stage)
    found = stage.wait_until("read", lambda: check(stage))
    assert found.read_at is not None
    assert found.problem is None
    assert set(plug.with_suffix(".log").read_text().split()) == {"status"}
