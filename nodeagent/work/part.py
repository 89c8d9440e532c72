"""The agent's part for scheduled work: a thread that follows the runs, and the task that carries them out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.cluster import keys
from appliance.cluster.names import NodeName
from appliance.coordination.store import Record, Store
from nodeagent.agent import markers
from nodeagent.agent.follow import StoreFollower
from nodeagent.resources.units import Units
from nodeagent.work.programs import UnitPrograms
from nodeagent.work.runner import WorkRunner


class ScheduledWork:
    """To be made in the agent's event loop; it works from then until `close`."""

    def __init__(self, node: NodeName, connect: Callable[[], Store], units: Units) -> None:
        loop = asyncio.get_running_loop()
        runner = WorkRunner(node, connect, UnitPrograms(units), markers.active)

        def changed(records: list[Record], connected: bool) -> None:
            loop.call_soon_threadsafe(runner.take, records, connected)

        self._follower = StoreFollower(node, connect, changed, keys.RUNS)
        self._follower.start()
        self._task = asyncio.create_task(runner.run())

    async def close(self) -> None:
        """The programs go on."""
        self._follower.end()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
