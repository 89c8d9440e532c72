"""Who could not be told of changed domains is told later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance import paths
from appliance.cluster.names import EngineName, GroupName, InstanceId
from nodeagent.agent.domains import DomainFollower

POSTFIX = InstanceId(EngineName("postfix"), GroupName("mail"))


@pytest.fixture
def works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that fails until the returned file exists, on a node that owns the group."""
    works, program = tmp_path / "works", tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\ntest -e {works}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(paths, "OWNED", tmp_path / "owned")
    marker = paths.owned_marker(POSTFIX.group)
    marker.parent.mkdir()
    marker.write_text("{}")
    return works


def test_a_reload_that_failed_is_asked_for_again(works: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = DomainFollower()
    follower.owe({POSTFIX})
    follower.tell()
    follower.tell()
    works.touch()
    follower.tell()
    follower.tell()
    asked = (works.parent / "asked").read_text().splitlines()
    assert asked == ["--no-block reload posthouse-postfix@mail.service"] * 3
    assert len(caplog.records) == 1
