"""Scheduled work in the agent: which runs are looked after, and what is told of their ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.cluster import keys
from appliance.cluster.model import Basis, Ownership, OwnershipStage
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.work import KINDS as WRITTEN
from appliance.cluster.work import ON_DEMAND, Run, RunState
from appliance.coordination.store import Record
from appliance.ownership.records import OwnerSeen
from nodeagent.work.endings import Ending, of_look, told_lines
from nodeagent.work.kinds import KINDS
from nodeagent.work.programs import Look, Progress, command, unit_of
from nodeagent.work.runner import due, mine, readable

AT = datetime(2026, 1, 1, tzinfo=UTC)


def run(group: str = "mail", work: str = "nightly", number: str = "1", **more: object) -> Run:
    fields = {"group": group, "work": work, "id": number, "kind": "purge", "due": AT, **more}
    return Run.model_validate(fields)


def by_key(*runs: Run) -> dict[str, Run]:
    return {keys.run(each.group, each.work, each.id): each for each in runs}


def chosen(*runs: Run, owned: tuple[str, ...] = ("mail",), busy: tuple[Run, ...] = ()) -> list[str]:
    found = due(by_key(*runs), [GroupName(each) for each in owned], by_key(*busy).keys())
    return [key.removeprefix(keys.RUNS) for key in found]


def test_only_runs_of_groups_here_that_are_not_over() -> None:
    over = [run(number=str(n), state=state) for n, state in enumerate(("done", "failed", "lost"))]
    assert chosen(*over, run(number="8"), run("other", number="9")) == ["mail/nightly/8"]
    assert chosen(run(), owned=()) == []


def test_of_one_work_one_at_a_time_and_the_oldest_first() -> None:
    first, second, other = run(number="1", state="running"), run(number="2"), run(work="weekly", number="3")
    assert chosen(second, first, other) == ["mail/nightly/1", "mail/weekly/3"]
    assert chosen(second, first, other, busy=(first,)) == ["mail/weekly/3"]


def test_what_cannot_be_read_or_stands_elsewhere_is_left_alone() -> None:
    good = run()
    key = keys.run(good.group, good.work, good.id)
    records = [
        Record(key, good.model_dump_json(), 1, 1),
        Record(keys.run(good.group, good.work, "2"), good.model_dump_json(), 1, 1),
        Record(keys.run(good.group, good.work, "3"), "{", 1, 1),
    ]
    assert readable(records) == {key: good}


@pytest.mark.parametrize(("node", "session", "expected"), [("a", 7, True), ("a", 8, False), ("b", 7, False)])
def test_a_run_is_the_sessions_that_began_it(node: str, session: int, expected: bool) -> None:
    owner = Ownership(
        group=GroupName("mail"),
        node=NodeName(node),
        session_epoch=session,
        stage=OwnershipStage.CONFIRMED,
        basis=Basis.UNOWNED,
        machine_id="m",
    )
    assert mine(run(state="running", owner="a", session_epoch=7), OwnerSeen(owner, 9)) is expected


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (Look(Progress.DONE), Ending(RunState.DONE, code=0, detail="a\nb")),
        (Look(Progress.FAILED, "exit-code", 3), Ending(RunState.FAILED, "work-run-exit-code", 3, "a\nb")),
        (Look(Progress.FAILED, "timeout", 9), Ending(RunState.FAILED, "work-run-too-long", None, "a\nb")),
        (Look(Progress.FAILED, "oom-kill", 9), Ending(RunState.FAILED, "work-run-killed", None, "a\nb")),
        (Look(Progress.ABSENT), Ending(RunState.LOST, "work-run-cut-off", detail="a\nb")),
    ],
)
def test_what_is_told_of_an_end(look: Look, expected: Ending) -> None:
    assert of_look(look, ["a", "b"]) == expected


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("removed the mail of 3 deleted mailboxes", "removed the mail of 3 deleted mailboxes"),
        ("password=hunter2 of bob", "password=*** of bob"),
        ('{"s3_secret_key": "abc def", "n": 1}', '{"s3_secret_key": ***, "n": 1}'),
        ("Access-Token: abc", "Access-Token: ***"),
        ("cannot reach https://bob:hunter2@example.org/x", "cannot reach https://bob:***@example.org/x"),
        ("userPassword {SSHA512}0123456789abcdef==", "userPassword {SSHA512}***"),
        ("no password was given", "no password was given"),
    ],
)
def test_no_secret_is_told(said: str, told: str) -> None:
    assert told_lines([said]) == told


def test_of_long_words_the_end_is_told() -> None:
    told = told_lines(["x" * 1000, "why"])
    assert len(told) == 500
    assert told.endswith("why")


def test_the_program_runs_in_the_groups_slice_with_its_deadline_and_nothing_more_than_it_needs() -> None:
    words = command(run(patience=90, parameters={"to": "elsewhere"}), KINDS["purge"])
    assert words[words.index("--slice") + 1] == "posthouse-mail.slice"
    assert words[words.index("--unit") + 1] == unit_of(run()) == "posthouse-work-mail:nightly:1.service"
    properties = [each.removeprefix("--property=") for each in words if each.startswith("--property=")]
    for wanted in (
        "TimeoutStartSec=90s",
        "ConditionPathExists=/run/posthouse/owned/mail",
        "ReadWritePaths=/srv/posthouse/mail",
        "CapabilityBoundingSet=CAP_DAC_OVERRIDE",
        "NoNewPrivileges=yes",
    ):
        assert wanted in properties
    assert words[-5:] == ["-I", "-m", "appliance.directory.purge", "mail", "to=elsewhere"]


def test_who_writes_work_knows_the_same_kinds() -> None:
    assert KINDS.keys() == WRITTEN | ON_DEMAND
