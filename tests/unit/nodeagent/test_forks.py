"""Jobs in processes of their own: real processes, ended by a deadline or by their keeper."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cluster.names import Seconds
from nodeagent.ownership.forks import Forks, WorkEnded, WorkFailed
from tests.lab.polling import wait_until

LONG = Seconds(60.0)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    made = Forks("tests.unit.nodeagent.hanging_work")
    yield made
    made.close()


def test_a_job_that_goes_well_says_nothing(forks: Forks, tmp_path: Path) -> None:
    forks.start({"do": "go well", "file": str(tmp_path / "file")}, LONG).wait()
    assert (tmp_path / "file").read_text() == "done"


def test_what_a_job_raises_is_raised_here_with_its_facts(forks: Forks) -> None:
    with pytest.raises(WorkFailed) as failed:
        forks.start({"do": "fail", "name": "nobody"}, LONG).wait()
    assert (failed.value.key, failed.value.facts) == ("no-such-account", {"name": "nobody"})


def test_an_error_that_nobody_foresaw_is_told_too(forks: Forks) -> None:
    with pytest.raises(WorkFailed) as failed:
        forks.start({"do": "crash"}, LONG).wait()
    assert failed.value.key == "work-crashed"
    assert "ZeroDivisionError" in str(failed.value)


def test_a_deadline_ends_a_job(forks: Forks) -> None:
    with pytest.raises(WorkEnded):
        forks.start({"do": "hang"}, Seconds(0.1)).wait()


def test_a_job_that_is_killed_is_over_only_when_nothing_of_it_runs(forks: Forks, tmp_path: Path) -> None:
    file = tmp_path / "orphan"
    job = forks.start({"do": "leave somebody behind", "file": str(file)}, LONG)
    wait_until("it has a child", lambda: file.exists() and file.read_text(), every=0.01)
    orphan = Path("/proc") / file.read_text()
    assert orphan.exists()
    job.kill()
    with pytest.raises(WorkEnded):
        job.wait()
    assert not orphan.exists()


def test_jobs_run_beside_each_other(forks: Forks, tmp_path: Path) -> None:
    hanging = forks.start({"do": "hang"}, LONG)
    forks.start({"do": "go well", "file": str(tmp_path / "file")}, LONG).wait()
    hanging.kill()
    with pytest.raises(WorkEnded):
        hanging.wait()


def test_a_server_that_died_is_started_again(tmp_path: Path) -> None:
    forks = Forks("tests.unit.nodeagent.hanging_work")
    hanging = forks.start({"do": "hang"}, LONG)
    server = forks.pid
    assert server is not None
    wait_until("the job runs", lambda: _children(server), every=0.01)
    os.kill(server, signal.SIGKILL)
    with pytest.raises(WorkEnded):
        hanging.wait()
    forks.start({"do": "go well", "file": str(tmp_path / "file")}, LONG).wait()
    assert forks.pid != server
    forks.close()


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()
