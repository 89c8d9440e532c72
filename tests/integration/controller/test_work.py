"""Scheduled work: ordered once by whoever leads, run by the owner alone, and told of afterwards."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.cluster import keys
from appliance.cluster.names import GroupName
from appliance.cluster.work import Run, RunState, Work
from appliance.coordination.store import Record
from appliance.ownership import work
from appliance.ownership.records import OwnerSeen, owner_seen
from tests.integration.controller.stage import QUICK, Stage


def want(stage: Stage, **more: object) -> None:
    made = Work.model_validate({"group": "one", "name": "backup", "kind": "backup", **more})
    stage.store.put(keys.work(made.group, made.name), made.model_dump_json())


def runs(stage: Stage) -> list[tuple[Run, Record]]:
    return [(Run.model_validate_json(each.value), each) for each in stage.store.list(keys.RUNS)[0]]


def owner_of(stage: Stage) -> OwnerSeen:
    record = stage.store.get(keys.owner(GroupName("one")))
    assert record is not None
    return owner_seen(record)


def test_work_is_ordered_once_whoever_leads_and_runs_once(stage: Stage) -> None:
    stage.node("a")
    stage.group("one", "a")
    for name in "ab":
        stage.controller(name)
    stage.wait_owned({"one": "a"})
    want(stage, once=datetime.now(UTC).isoformat())
    stage.wait_until("ordered", lambda: runs(stage))
    leader = stage.leader()
    assert leader is not None
    stage.controllers[leader].kill()
    stage.wait_until("the other leads", lambda: stage.leader() not in (leader, None))
    [(run, record)] = runs(stage)
    owner = owner_of(stage)
    now = datetime.now(UTC)
    first = work.begin(run, record.mod_revision, owner, now).send(stage.store, QUICK.reply)
    second = work.begin(run, record.mod_revision, owner, now).send(stage.store, QUICK.reply)
    assert (first.succeeded, second.succeeded) == (True, False)
    [(begun, record)] = runs(stage)
    assert work.end(begun, record.mod_revision, owner, now, state=RunState.DONE, detail="12 MB").send(
        stage.store, QUICK.reply
    )
    [(ended, _)] = runs(stage)
    assert (ended.state, ended.detail, ended.owner) == (RunState.DONE, "12 MB", "a")


def test_a_run_whose_owner_went_away_is_lost_and_told(stage: Stage) -> None:
    stage.node("a")
    stage.node("b")
    stage.group("one", "a", "b")
    stage.controller("b")
    stage.wait_owned({"one": "a"})
    want(stage, once=datetime.now(UTC).isoformat())
    [(run, record)] = stage.wait_until("ordered", lambda: runs(stage))
    work.begin(run, record.mod_revision, owner_of(stage), datetime.now(UTC)).send(stage.store, QUICK.reply)
    stage.wish("one", "b")
    stage.wait_owned({"one": "b"})
    stage.wait_until("told", lambda: stage.told("event-work-lost"))
    [(over, _)] = runs(stage)
    assert over.state is RunState.LOST
