"""Ending what runs of groups that are not held: real processes in real control groups."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cluster.names import GroupName, Seconds
from nodeagent.resources import cgroups

ROOT = next((root for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")) if
             (root / "cgroup.procs").exists()), Path("/nonexistent"))  # fmt: skip
SHARED = GroupName("shared")


@pytest.fixture
def inhabited(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the slice of group `shared`, in a hierarchy of this test's own."""
    root = ROOT / f"posthouse-test-{os.getpid()}"
    slice_ = root / "posthouse.slice" / cgroups.group_slice(SHARED)
    try:
        slice_.mkdir(parents=True)
    except OSError:
        pytest.skip("needs root and the unified cgroup hierarchy")
    monkeypatch.setattr(cgroups, "_ROOTS", (root,))
    process = subprocess.Popen(["sleep", "60"])
    try:
        (slice_ / "cgroup.procs").write_text(str(process.pid))
        yield process
    finally:
        process.kill()
        process.wait()
        until = time.monotonic() + 5
        for folder in (slice_, slice_.parent, root):
            while folder.is_dir() and time.monotonic() < until:
                try:
                    folder.rmdir()
                except OSError:
                    os.sched_yield()


def test_what_lives_of_a_group_is_found_and_ended(inhabited: subprocess.Popen[bytes]) -> None:
    assert cgroups.populated_groups() == {SHARED}
    assert cgroups.kill_group(SHARED, Seconds(5.0))
    assert inhabited.wait(timeout=5) == -9
    assert cgroups.populated_groups() == frozenset()


def test_the_keeper_sweeps_what_it_does_not_hold(
    inhabited: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from appliance import paths  # noqa: PLC0415 - beside what is changed in it
    from appliance.cluster.decided import ProtocolTiming  # noqa: PLC0415
    from appliance.cluster.names import LOCAL_GROUP, NodeName  # noqa: PLC0415
    from appliance.coordination.store import Store, StoreUnavailable  # noqa: PLC0415
    from nodeagent.ownership import memory  # noqa: PLC0415
    from nodeagent.ownership.keeper import Keeper  # noqa: PLC0415

    monkeypatch.setattr(paths, "OWNED", tmp_path / "owned")
    monkeypatch.setattr(memory, "REPORT", tmp_path / "keeper.json")
    monkeypatch.setattr(memory, "REMEMBERED", tmp_path / "exclusive.json")

    def away() -> Store:
        raise StoreUnavailable("store-closed")

    keeper = Keeper(NodeName("mail1"), away, ProtocolTiming(), only_voter=False)
    keeper.begin()
    keeper.step()
    assert inhabited.wait(timeout=5) == -9
    assert list(memory.marked()) == [LOCAL_GROUP]
    keeper.close()
