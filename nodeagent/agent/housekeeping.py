"""What a node does now and then: renew certificates, purge deleted mailboxes, watch the clock.

Each task runs in a thread of its own rhythm; a failure is a warning in the report
and is tried again, never the end of the agent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from appliance.cluster.names import Seconds
from appliance.cluster.report import Notice
from appliance.errors import PosthouseError

log = logging.getLogger("posthouse.agent")

_RETRY = Seconds(60.0)


@dataclass
class Task:
    """Something done every `every` seconds. `run` returns warnings that stand until its next run."""

    name: str
    every: Seconds
    run: Callable[[], Awaitable[tuple[Notice, ...]]]
    due: float = 0.0
    warnings: tuple[Notice, ...] = ()
    running: asyncio.Task[None] | None = field(default=None, repr=False)


class Housekeeping:
    """Starts tasks when they are due. At most one run of a task at a time."""

    def __init__(self, tasks: tuple[Task, ...]) -> None:
        self._tasks = tasks

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What the tasks found, oldest task first."""
        return tuple(warning for task in self._tasks for warning in task.warnings)

    def tick(self) -> None:
        """Start what is due; returns at once."""
        now = time.monotonic()
        for task in self._tasks:
            if now >= task.due and (task.running is None or task.running.done()):
                task.due = now + task.every
                task.running = asyncio.create_task(self._run(task))

    def hurry(self, name: str) -> None:
        """Have a task run at the next tick, or once more when it runs now."""
        for task in self._tasks:
            if task.name == name:
                task.due = 0.0

    async def close(self) -> None:
        """End what still runs."""
        running = [task.running for task in self._tasks if task.running is not None]
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, task: Task) -> None:
        try:
            task.warnings = await task.run()
        except (PosthouseError, OSError) as error:
            log.warning("%s failed and is tried again: %s", task.name, error)
            task.warnings = (Notice(key="housekeeping-failed", facts={"task": task.name, "detail": str(error)}),)
            task.due = time.monotonic() + _RETRY
        except Exception as error:
            log.exception("%s failed and is tried again", task.name)
            task.warnings = (Notice(key="housekeeping-failed", facts={"task": task.name, "detail": repr(error)}),)
            task.due = time.monotonic() + _RETRY
