"""What is done once when a group has arrived from elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from appliance.cluster.model import Basis
from appliance.cluster.names import InstanceId
from appliance.engines.base import Engine, RenderContext
from appliance.errors import PosthouseError
from nodeagent.agent import arrivals as module
from nodeagent.agent.arrivals import Arrivals, is_arrival
from nodeagent.agent.markers import Marker

POSTFIX = InstanceId.parse("postfix@mail")
CONTEXT = cast("RenderContext", None)


class Flushing:
    """An engine as far as it matters here."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.times = 0

    def arrived(self, _context: RenderContext) -> str:
        if self.failures:
            raise self.failures.pop()
        self.times += 1
        return "event-queue-flushed"


@pytest.mark.parametrize(
    ("marker", "arrival"),
    [
        (None, False),
        (Marker(exclusive=True), False),
        (Marker(epoch=7), False),
        (Marker(epoch=7, basis=Basis.UNOWNED), False),
        (Marker(epoch=7, basis=Basis.HANDED_OVER), True),
        (Marker(epoch=7, basis=Basis.FENCED), True),
        (Marker(epoch=7, basis=Basis.RESTARTED), True),
    ],
)
def test_a_group_arrives_when_somebody_had_it_before(marker: Marker | None, arrival: bool) -> None:
    assert is_arrival(marker) is arrival


def test_each_arrival_is_done_once_also_by_an_agent_that_was_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DONE", tmp_path / "arrivals.json")
    monkeypatch.setattr(module, "_RETRY", 0.0)
    engine, told = Flushing(PosthouseError("program-failed", program="postqueue", detail="x")), []

    async def look(arrivals: Arrivals, epoch: int) -> None:
        marker = Marker(epoch=epoch, basis=Basis.FENCED)
        arrivals.look(marker, POSTFIX, cast("Engine", engine), CONTEXT)
        await asyncio.gather(*arrivals._tasks.values())

    async def run() -> None:
        arrivals = Arrivals(lambda instance, key: told.append((instance, key)))
        await look(arrivals, 7)
        assert engine.times == 0  # it failed
        for _ in range(2):
            await look(arrivals, 7)
        restarted = Arrivals(lambda instance, key: told.append((instance, key)))
        await look(restarted, 7)
        assert engine.times == 1
        await look(restarted, 9)
        assert engine.times == 2

    asyncio.run(run())
    assert told == [(POSTFIX, "event-queue-flushed")] * 2
