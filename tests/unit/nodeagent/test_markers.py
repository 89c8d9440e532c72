"""What the keeper's markers say to the agent, and how it is woken."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest

from appliance import paths
from appliance.cluster.model import Basis
from appliance.off_loop import off_loop
from nodeagent.agent import markers
from nodeagent.agent.markers import Marker, Stage
from nodeagent.agent.wake import Bell


@pytest.fixture
def owned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "owned"
    folder.mkdir()
    monkeypatch.setattr(paths, "OWNED", folder)
    return folder


@pytest.mark.parametrize(
    ("text", "marker"),
    [
        pytest.param('{"exclusive": true, "epoch": null}', Marker(exclusive=True), id="of the release before"),
        pytest.param(
            '{"exclusive": false, "epoch": 7, "stage": "stopping", "basis": "fenced"}',
            Marker(Stage.STOPPING, 7, Basis.FENCED),
            id="being given up",
        ),
        pytest.param(
            '{"epoch": 7, "stage": "resting", "basis": "luck"}', Marker(epoch=7), id="words of a later release"
        ),
        pytest.param('{"epoch": 7, "basis": ["x"]}', Marker(epoch=7), id="a basis that is no word"),
        pytest.param("", Marker(), id="empty"),
        pytest.param("[1]", Marker(), id="no record"),
    ],
)
def test_a_marker_that_stands_is_active_unless_it_says_stopping(owned: Path, text: str, marker: Marker) -> None:
    (owned / "mail").write_text(text)
    (owned / ".mail.new").write_text("half")
    assert markers.standing() == {"mail": marker}
    assert ("mail" in markers.active()) is (marker.stage is Stage.ACTIVE)


def test_no_folder_means_that_nothing_is_owned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "OWNED", tmp_path / "none")
    assert markers.standing() == {}


def test_the_bell_rings_after_a_successor_has_bound_the_name_again(tmp_path: Path) -> None:
    name = tmp_path / "agent.wake"

    async def run() -> None:
        before = Bell(lambda: None, name)
        before.hang()
        rung = asyncio.Event()
        bell = Bell(rung.set, name)
        bell.hang()
        assert name.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as keeper:
            keeper.sendto(b"", str(name))
        await asyncio.wait_for(rung.wait(), 5)
        bell.take_down()
        before.take_down()

    asyncio.run(run())


def test_work_that_hangs_holds_up_neither_the_loop_nor_its_end() -> None:
    hung = threading.Event()

    async def run() -> str:
        stuck = [asyncio.create_task(off_loop(hung.wait)) for _ in range(40)]
        said = await asyncio.wait_for(off_loop(json.dumps, {"a": 1}), 5)
        for each in stuck:
            each.cancel()
        with pytest.raises(ZeroDivisionError):
            await off_loop(lambda: 1 // 0)
        return said

    assert asyncio.run(run()) == '{"a": 1}'
    hung.set()
