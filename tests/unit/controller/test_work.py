"""When scheduled work is due, and what becomes of its runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.work import Run, RunState, Work, crontab, expand
from appliance.errors import BadInput
from controller.view import Seen
from controller.work import Schedule, due, excess, lost, run_id
from tests.unit.controller.situations import group
from tests.unit.controller.test_cases import known

G = GroupName("g")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def run(due_at: str, state: RunState = RunState.DONE, **more: object) -> Run:
    moment = at(due_at)
    fields = {"group": G, "work": "backup", "id": run_id(moment), "kind": "backup", "due": moment, "state": state}
    return Run.model_validate({**fields, **more})


def work(**more: object) -> Work:
    return Work.model_validate({"group": "g", "name": "backup", "kind": "backup", **more})


@pytest.mark.parametrize(
    ("field", "numbers"),
    [("*", {0, 1, 2, 3, 4, 5}), ("*/2", {0, 2, 4}), ("1,3-5", {1, 3, 4, 5}), ("2/3", {2, 5}), ("0-4/2", {0, 2, 4})],
)
def test_a_field_of_a_crontab(field: str, numbers: set[int]) -> None:
    assert expand(field, 0, 5) == numbers


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "x * * * *"])
def test_what_is_no_crontab_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        crontab(text)


@pytest.mark.parametrize(
    ("schedule", "now", "after", "expected"),
    [
        ("0 2 * * *", "2026-03-05 02:00", "2026-03-04 02:00", "2026-03-05 02:00"),
        ("0 2 * * *", "2026-03-05 01:59", "2026-03-04 02:00", None),
        ("0 2 * * *", "2026-03-05 09:00", "2026-03-01 02:00", "2026-03-05 02:00"),  # only the latest is made up for
        ("*/10 * * * *", "2026-03-05 09:09", "2026-03-05 08:50", "2026-03-05 09:00"),
        ("0 0 1 * *", "2026-03-05 09:00", "2026-02-01 00:00", "2026-03-01 00:00"),
        ("0 0 * * 0", "2026-03-05 09:00", "2026-02-01 00:00", "2026-03-01 00:00"),  # a Sunday
        ("0 0 * * 7", "2026-03-05 09:00", "2026-02-01 00:00", "2026-03-01 00:00"),
        ("0 0 4 * 0", "2026-03-05 09:00", "2026-03-03 00:00", "2026-03-04 00:00"),  # either day, crontab(5)
        ("0 0 29 2 *", "2026-03-05 09:00", "2024-01-01 00:00", None),  # further back than a year is forgotten
    ],
)
def test_the_latest_time_that_is_due(schedule: str, now: str, after: str, expected: str | None) -> None:
    found = Schedule.parse(schedule).latest(at(now), at(after))
    assert found == (at(expected) if expected else None)


def test_work_that_never_ran_is_not_ordered_for_a_time_before_it_was_wanted() -> None:
    daily = work(cron="0 2 * * *")
    assert due(daily, {}, at("2026-03-05 09:00")) is None
    assert due(daily, {}, at("2026-03-05 02:01")) == at("2026-03-05 02:00")


def test_while_a_run_is_under_way_no_other_is_ordered() -> None:
    often = work(cron="* * * * *")
    for state, expected in ((RunState.RUNNING, None), (RunState.DONE, at("2026-03-05 09:05"))):
        assert due(often, {"1": run("2026-03-05 09:00", state)}, at("2026-03-05 09:05")) == expected


def test_work_for_once_is_ordered_once() -> None:
    once = work(once=at("2026-03-05 09:00"))
    assert due(once, {}, at("2026-03-05 08:59")) is None
    assert due(once, {}, at("2026-03-05 12:00")) == at("2026-03-05 09:00")
    assert due(once, {"1": run("2026-03-05 09:00", RunState.FAILED)}, at("2026-03-05 12:00")) is None


def test_a_run_is_lost_when_its_owner_is_the_owner_no_more() -> None:
    for owner, epoch, expected in (("a", 11, 0), ("a", 10, 1), ("b", 12, 1)):
        begun = run("2026-03-05 09:00", RunState.RUNNING, owner=NodeName(owner), session_epoch=epoch)
        seen = known(group("g"), owned={"g": "a"}, tables={keys.RUNS: {"g/backup/1": Seen(begun, 5)}})
        assert len(list(lost(seen))) == expected


def test_of_the_history_the_newest_are_kept_and_orders_of_unwanted_work_go() -> None:
    runs = [run(f"2026-03-0{day} 02:00") for day in range(1, 6)] + [run("2026-03-06 02:00", RunState.ORDERED)]
    table = {f"g/backup/{each.id}": Seen(each, number) for number, each in enumerate(runs)}
    wanted = {keys.RUNS: table, keys.WORK: {"g/backup": Seen(work(keep=2), 1)}}
    assert [seen.fact.due.day for seen in excess(known(group("g"), owned={}, tables=wanted))] == [1, 2, 3]
    assert [seen.fact.due.day for seen in excess(known(group("g"), owned={}, tables={keys.RUNS: table}))] == [6]
