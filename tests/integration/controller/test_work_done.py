"""Scheduled work from its order to its end: the controller orders it, the owner's agent does it, once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.cluster import keys
from appliance.cluster.names import GroupName
from appliance.cluster.work import Run, RunState
from appliance.operations import work as operations
from tests.integration.controller.stage import ROOT, Stage
from tests.integration.controller.test_work import runs, want

ONE = GroupName("one")


class Workers:
    """Agents of nodes, and what their programs left behind."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def folder(self, node: str) -> Path:
        return self._stage.folder / f"worker-{node}"

    def start(self, node: str) -> None:
        folder = self.folder(node)
        folder.mkdir(exist_ok=True)
        words = [node, self._stage.server.endpoint, str(self._stage.server.pki), str(folder)]
        with (self._stage.folder / f"controller-worker-{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.controller.worker", *words],
                cwd=ROOT,
                stderr=log,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )

    def own(self, node: str) -> None:
        (self.folder(node) / "owned").mkdir(parents=True, exist_ok=True)
        (self.folder(node) / "owned" / "one").touch()

    def kill(self, node: str) -> None:
        """The agent alone; its programs go on."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def cut_off(self, node: str) -> None:
        """As in a power cut: the programs end too, and nobody tells."""
        self.kill(node)
        self.end_programs(node)

    def end_programs(self, node: str) -> None:
        for file in self.folder(node).glob("*.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(file.read_text()), signal.SIGKILL)

    def begun(self, node: str) -> list[str]:
        file = self.folder(node) / "begun"
        return file.read_text().split() if file.exists() else []

    def go(self, node: str, words: str) -> None:
        (self.folder(node) / "go.new").write_text(words)
        (self.folder(node) / "go.new").rename(self.folder(node) / "go")

    def close(self) -> None:
        for node in list(self._processes):
            self.cut_off(node)
        for folder in self._stage.folder.glob("worker-*"):
            self.end_programs(folder.name.removeprefix("worker-"))


@pytest.fixture
def workers(stage: Stage) -> Iterator[Workers]:
    made = Workers(stage)
    yield made
    made.close()


def two_nodes(stage: Stage, workers: Workers, *controllers: str) -> None:
    """Group one on node a, with b behind it."""
    for name in ("a", "b"):
        stage.node(name)
        workers.start(name)
    stage.fence("a")
    stage.group("one", "a", "b")
    for name in controllers:
        stage.controller(name)
    stage.wait_owned({"one": "a"})
    workers.own("a")
    workers.own("b")  # it believes so too, as after a keeper's mistake: the store's guard counts


def all_runs(stage: Stage) -> list[Run]:
    return [run for run, _ in runs(stage)]


def states(stage: Stage) -> list[RunState]:
    return [run.state for run in all_runs(stage)]


def now() -> str:
    return datetime.now(UTC).isoformat()


def test_it_is_ordered_once_and_done_once_on_the_owner(stage: Stage, workers: Workers) -> None:
    two_nodes(stage, workers, "a", "b")
    want(stage, once=now())
    [ordered] = stage.wait_until("begun", lambda: workers.begun("a"))
    stage.wait_until("running", lambda: states(stage) == [RunState.RUNNING])
    workers.go("a", "0 12 MB kept, password=hunter2")
    stage.wait_until("done", lambda: states(stage) == [RunState.DONE])
    [run] = all_runs(stage)
    assert (run.owner, run.exit_code, run.reason) == ("a", 0, "")
    assert run.detail == "12 MB kept, password=***"
    assert run.began is not None
    assert run.ended is not None
    assert run.began <= run.ended
    assert workers.begun("a") == [ordered] == [run.id]
    assert workers.begun("b") == []


def test_a_failure_is_told_with_code_and_words(stage: Stage, workers: Workers) -> None:
    two_nodes(stage, workers, "a")
    workers.go("a", "3 no room")
    want(stage, once=now())
    stage.wait_until("failed", lambda: states(stage) == [RunState.FAILED])
    [run] = all_runs(stage)
    assert (run.reason, run.exit_code, run.detail) == ("work-run-exit-code", 3, "no room")


def test_a_kind_that_nobody_knows_fails_and_says_so(stage: Stage, workers: Workers) -> None:
    two_nodes(stage, workers, "a")
    want(stage, once=now(), kind="of-tomorrow")
    stage.wait_until("failed", lambda: states(stage) == [RunState.FAILED])
    assert all_runs(stage)[0].reason == "work-run-kind-unknown"
    assert workers.begun("a") == []


def test_when_the_leader_dies_nothing_is_repeated(stage: Stage, workers: Workers) -> None:
    two_nodes(stage, workers, "a", "b")
    want(stage, once=now())
    stage.wait_until("begun", lambda: workers.begun("a"))
    leader = stage.leader()
    assert leader is not None
    stage.controllers[leader].kill()
    stage.wait_until("the other leads", lambda: stage.leader() not in (leader, None))
    workers.go("a", "0 all of it")
    stage.wait_until("done", lambda: states(stage) == [RunState.DONE])
    want(stage, once=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    stage.wait_until("the new leader orders the next", lambda: states(stage) == [RunState.DONE, RunState.DONE])
    assert workers.begun("a") == [run.id for run in all_runs(stage)]
    assert workers.begun("b") == []


def test_an_owner_that_dies_loses_its_run_and_the_next_schedule_has_a_new_one(stage: Stage, workers: Workers) -> None:
    two_nodes(stage, workers, "b")
    want(stage, once=now())
    stage.wait_until("begun", lambda: workers.begun("a"))
    stage.wait_until("running", lambda: states(stage) == [RunState.RUNNING])
    workers.cut_off("a")
    stage.keepers.pop("a").die()
    stage.wait_owned({"one": "b"})
    stage.wait_until("lost", lambda: states(stage) == [RunState.LOST])
    assert workers.begun("b") == []
    workers.go("b", "0 anew")
    want(stage, once=now())
    stage.wait_until("done by the new owner", lambda: states(stage) == [RunState.LOST, RunState.DONE])
    assert all_runs(stage)[1].owner == "b"
    assert len(workers.begun("b")) == 1


def test_an_agent_that_comes_back_waits_for_the_program_that_went_on(stage: Stage, workers: Workers) -> None:
    two_nodes(stage, workers, "a")
    want(stage, once=now())
    stage.wait_until("begun", lambda: workers.begun("a"))
    stage.wait_until("running", lambda: states(stage) == [RunState.RUNNING])
    workers.kill("a")
    workers.go("a", "0 while nobody looked")
    workers.start("a")
    stage.wait_until("done", lambda: states(stage) == [RunState.DONE])
    assert all_runs(stage)[0].detail == "while nobody looked"
    assert len(workers.begun("a")) == 1


def test_a_run_that_was_cut_off_with_its_agent_is_lost_and_not_repeated(stage: Stage, workers: Workers) -> None:
    two_nodes(stage, workers, "a")
    want(stage, once=now())
    stage.wait_until("begun", lambda: workers.begun("a"))
    stage.wait_until("running", lambda: states(stage) == [RunState.RUNNING])
    workers.cut_off("a")
    for file in workers.folder("a").glob("*.pid"):
        file.unlink()
    workers.start("a")
    stage.wait_until("lost", lambda: states(stage) == [RunState.LOST])
    assert all_runs(stage)[0].reason == "work-run-cut-off"
    assert len(workers.begun("a")) == 1


def test_an_operator_has_it_done_now_without_a_controller(stage: Stage, workers: Workers) -> None:
    two_nodes(stage, workers, "a")
    stage.controllers["a"].kill()
    stage.controllers["a"].wait()
    want(stage, cron="0 0 31 12 *")
    workers.go("a", "0 now")
    asked = operations.order(stage.store, ONE, "backup", datetime.now(UTC))
    stage.wait_until("done", lambda: states(stage) == [RunState.DONE])
    assert stage.store.get(keys.run(ONE, "backup", asked.id)) is not None
