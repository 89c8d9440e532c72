"""Two controllers: one leads; killed or stopped, the other one does, and who was stopped writes nothing any more."""

from __future__ import annotations

import os
import signal

from appliance.cluster import keys
from appliance.coordination.store import Record
from tests.integration.controller.stage import Stage


def two(stage: Stage) -> tuple[str, str]:
    """The leader and the other one."""
    for name in "abc":
        stage.node(name)
    stage.group("one", "c", "a")
    for name in "ab":
        stage.controller(name)
    leader = stage.wait_until("a leader", stage.leader)
    stage.wait_owned({"one": "c"})
    return leader, "b" if leader == "a" else "a"


def decided_by_controllers(stage: Stage) -> list[Record]:
    """What only a leader writes, but for the log."""
    records, _ = stage.store.list(keys.PREFIX)
    return [
        record
        for record in records
        if record.key.startswith((keys.LEADER, keys.PLACEMENTS, keys.FENCES, keys.CONTROLLER, keys.OWNERS))
    ]


def test_a_leader_that_was_killed_is_followed_by_the_other_one(stage: Stage) -> None:
    leader, other = two(stage)
    stage.controllers[leader].kill()
    stage.wait_until("the other leads", lambda: stage.leader() == other)
    stage.wish("one", "a")
    stage.wait_owned({"one": "a"})


def test_a_leader_that_ends_in_order_is_followed_at_once(stage: Stage) -> None:
    leader, other = two(stage)
    stage.controllers[leader].terminate()
    assert stage.controllers[leader].wait(10) == 0
    stage.wait_until("the other leads", lambda: stage.leader() == other)


def test_a_leader_that_was_stopped_writes_nothing_when_it_goes_on(stage: Stage) -> None:
    leader, other = two(stage)
    stage.controllers[leader].send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, stage.controllers[leader].pid, os.WSTOPPED)
    stage.wait_until("the other leads", lambda: stage.leader() == other)
    # For the stopped one there is now something to decide, and its view is old.
    stage.wish("one", "a")
    stage.wait_owned({"one": "a"})
    stage.controllers[other].send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, stage.controllers[other].pid, os.WSTOPPED)
    before = decided_by_controllers(stage)
    stage.controllers[leader].send_signal(signal.SIGCONT)
    log = stage.folder / f"controller-{leader}.log"
    stage.wait_until("it knows", lambda: "taken over by another controller" in log.read_text())
    assert decided_by_controllers(stage) == before
    assert {event.by for event in stage.events()} <= {"a", "b"}


def test_a_fence_that_one_leader_ordered_is_finished_by_the_next(stage: Stage) -> None:
    leader, other = two(stage)
    plug = stage.fence("c", "hangs", timeout=60.0)
    stage.keepers["c"].die()
    stage.wait_until("ordered", lambda: stage.fence_record("c") and "off" in plug.with_suffix(".log").read_text())
    stage.controllers[leader].kill()
    plug.with_suffix(".mode").write_text("")
    plug.write_text("off")  # the order was carried out, and nobody was told
    stage.wait_until("the other leads", lambda: stage.leader() == other)
    stage.wait_owned({"one": "a"})
    assert plug.with_suffix(".log").read_text().split().count("off") == 1


def test_the_log_of_decisions_stays_within_its_bound(stage: Stage) -> None:
    for number in range(2030):
        stage.store.put(f"{keys.EVENTS}{number:013d}-x-000001", "{}")
    stage.controller("a")
    stage.wait_until("trimmed", lambda: len(stage.store.list(keys.EVENTS)[0]) == 2000)
    assert stage.store.list(keys.EVENTS)[0][0].key == f"{keys.EVENTS}{31:013d}-x-000001"
