"""Ends the engines of a group that this node gives up, last started first.

The keeper waits for the group's control group to be empty, and for so long the mail of
its people stands still: every step is taken at once, and asked for again while the marker says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from appliance.cluster.names import GroupName, InstanceId, Seconds
from appliance.engines.catalogue import ENGINES
from appliance.errors import PosthouseError
from nodeagent.resources import cgroups
from nodeagent.resources.units import Units

log = logging.getLogger("posthouse.agent")

#: So long an engine may take over what it is at (a command, a delivery); then its processes are killed, which loses
#: nothing that was acknowledged.
_PATIENCE = Seconds(1.0)
_LOOK_EVERY = Seconds(0.02)


def purge_unit(group: GroupName) -> str:
    """The unit that removes what was deleted long ago from the group's volume."""
    return f"posthouse-purge@{group}.service"


class Stopper:
    """At most one task for each group."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._tasks: dict[GroupName, asyncio.Task[None]] = {}

    def follow(self, stopping: Mapping[GroupName, Sequence[InstanceId]]) -> None:
        """End the instances of these groups; returns at once. To be called again while their markers stand."""
        for group in self._tasks.keys() - stopping.keys():
            self._tasks.pop(group)  # ends by itself
        for group, instances in stopping.items():
            task = self._tasks.get(group)
            if task is None:
                log.info("group %s is given up: its engines are stopped", group)
            if task is None or task.done():
                self._tasks[group] = asyncio.create_task(self._stop(group, instances))

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _stop(self, group: GroupName, instances: Sequence[InstanceId]) -> None:
        began = time.monotonic()
        for unit in (purge_unit(group), *cgroups.work_units(group)):
            try:
                await self._units.stop(unit)
            except PosthouseError as error:
                log.error("%s could not be stopped, it is tried again: %s", unit, error)
        ended = [each for instance in reversed(instances) if (each := await self._end(instance))]
        if ended:
            took = (time.monotonic() - began) * 1000
            log.info("group %s: %s ended in %.0f ms", group, ", ".join(map(str, ended)), took)

    async def _end(self, instance: InstanceId) -> InstanceId | None:
        """The instance, when it was there to be ended."""
        try:
            before = await self._units.state(instance.unit)
            await self._units.stop(instance.unit)  # also what is not seen yet: a start may be queued
            if not (before.is_running or before.is_settling):
                return None
            if not await self._ends_by_itself(instance):
                await self._units.kill(instance.unit)
        except PosthouseError as error:
            log.error("%s could not be stopped, it is tried again: %s", instance, error)
            return None
        return instance

    async def _ends_by_itself(self, instance: InstanceId) -> bool:
        """Wait until nothing of the instance runs that could still do something; False: the rest is to be killed."""
        engine = ENGINES.get(instance.engine)
        until = time.monotonic() + _PATIENCE
        while processes := cgroups.processes(instance.group, instance.unit):
            late = time.monotonic() >= until
            if late:
                log.warning("%s does not end; these are killed: %s", instance, ", ".join(sorted(processes)))
            if late or (engine is not None and engine.ended_in_substance(processes)):
                return False
            await asyncio.sleep(_LOOK_EVERY)
        return True
