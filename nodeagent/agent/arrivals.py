"""What is done once when a group's engine first answers here after the group came from elsewhere.

Postfix looks at deferred mail anew at once: what could not be delivered while the group was away, or because of
what made it move, need not wait for its next turn. Which arrivals are done outlives the agent, not a boot.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable

from appliance import paths
from appliance.cluster.model import Basis
from appliance.cluster.names import InstanceId, Seconds
from appliance.engines.base import Engine, RenderContext
from appliance.errors import PosthouseError
from appliance.off_loop import off_loop
from nodeagent.agent.markers import Marker
from nodeagent.ownership.memory import write_atomically

log = logging.getLogger("posthouse.agent")

DONE = paths.RUN / "arrivals.json"
_RETRY = Seconds(5.0)
#: Nobody had the group before, so nothing can have waited.
_FIRST = frozenset({None, Basis.UNOWNED, Basis.UNCONFIRMED})


def is_arrival(marker: Marker | None) -> bool:
    """Whether the group came here from an owner, this node's earlier session among them. Pure."""
    return marker is not None and marker.epoch is not None and marker.basis not in _FIRST


class Arrivals:
    """Runs in the agent's event loop. `record(instance, what)` notes what was done, a message key."""

    def __init__(self, record: Callable[[InstanceId, str], None]) -> None:
        self._record = record
        self._done = _read()
        self._tasks: dict[InstanceId, asyncio.Task[None]] = {}
        self._not_before: dict[InstanceId, float] = {}

    def look(self, marker: Marker | None, instance: InstanceId, engine: Engine, context: RenderContext) -> None:
        """The instance answers: do what is still to be done; returns at once."""
        if marker is None or marker.epoch is None or not is_arrival(marker):
            return
        is_new = self._done.get(str(instance)) != marker.epoch
        if is_new and instance not in self._tasks and time.monotonic() >= self._not_before.get(instance, 0.0):
            task = asyncio.create_task(self._arrive(instance, marker.epoch, engine, context))
            self._tasks[instance] = task
            task.add_done_callback(lambda _: self._tasks.pop(instance, None))

    async def _arrive(self, instance: InstanceId, epoch: int, engine: Engine, context: RenderContext) -> None:
        try:
            done = await off_loop(engine.arrived, context)
        except (PosthouseError, OSError) as error:
            log.warning("%s: not done yet after its arrival, it is tried again: %s", instance, error)
            self._not_before[instance] = time.monotonic() + _RETRY
            return
        self._done[str(instance)] = epoch
        write_atomically(DONE, json.dumps(self._done))
        if done is not None:
            self._record(instance, done)


def _read() -> dict[str, int]:
    try:
        found = json.loads(DONE.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
