"""Programs that housekeeping runs end with the agent."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError
from nodeagent.agent.housekeeping import Housekeeping, Task
from nodeagent.agent.tasks import _program


def children() -> list[str]:
    return Path("/proc/self/task", str(Path("/proc/thread-self").resolve().name), "children").read_text().split()


def test_closing_ends_a_program_at_once() -> None:
    async def long() -> tuple[()]:
        await _program("http.server", "0", "--bind", "127.0.0.1")
        return ()

    async def closed() -> None:
        keeper = Housekeeping((Task("long", Seconds(3600.0), long),))
        keeper.tick()
        until = time.monotonic() + 5.0
        while not children():
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        await keeper.close()
        assert children() == []

    began = time.monotonic()
    asyncio.run(closed())
    assert time.monotonic() - began < 4.0


def test_what_a_program_printed_comes_back_and_its_failure_is_told() -> None:
    assert "this" not in asyncio.run(_program("platform"))
    with pytest.raises(PosthouseError) as failed:
        asyncio.run(_program("no_such_module"))
    assert "no_such_module" in failed.value.facts["detail"]
