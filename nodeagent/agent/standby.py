"""The hot standby: groups that this node may own and does not own have their configuration made and checked ahead.

Nothing here touches a group's volume, which is mounted at its owner alone. After a takeover
the generation in force is the checked one, and only mounting and starting is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from appliance import paths
from appliance.cluster.model import Node, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, GroupName, InstanceId, Seconds
from appliance.cluster.report import Notice, StandbyReport
from appliance.engines import topology
from appliance.engines.base import Engine, RenderContext
from appliance.engines.catalogue import ENGINES
from appliance.engines.generations import Generations, apply_ahead
from appliance.errors import PosthouseError
from appliance.off_loop import off_loop
from nodeagent.agent.instance import Inputs
from nodeagent.ownership.memory import write_atomically

log = logging.getLogger("posthouse.agent")

#: Certificates may be replaced without a word: so often everything is looked at without news.
_EVERY = Seconds(30.0)
#: What was refused is tried again so often: the reason may have been the machine's.
_RETRY = Seconds(60.0)

ContextOf = Callable[[InstanceId, ServiceGroup], RenderContext]


def candidates(
    groups: Mapping[GroupName, ServiceGroup], node: Node, here: Collection[GroupName]
) -> dict[GroupName, ServiceGroup]:
    """The groups that are not `here` and may come to this node one day. Pure."""
    return {
        name: group
        for name, group in sorted(groups.items())
        if name != LOCAL_GROUP and name not in here and group.may_run_on(node) and group.services
    }


@dataclass(frozen=True)
class _Outcome:
    """What a look at one instance brought. `at`: monotonic seconds."""

    inputs: Inputs
    problem: Notice | None
    at: float

    def stands(self, inputs: Inputs) -> bool:
        """Whether another look would find the same."""
        return inputs == self.inputs and (self.problem is None or time.monotonic() < self.at + _RETRY)


class Standby:
    """One instance at a time, so that a node with a hundred groups has a core left for those it owns."""

    def __init__(self, context_of: ContextOf, changed: Callable[[], None]) -> None:
        self._context_of = context_of
        self._changed = changed
        self._groups: Mapping[GroupName, ServiceGroup] = {}
        self._news = asyncio.Event()
        self._outcomes: dict[InstanceId, _Outcome] = {}
        self._task: asyncio.Task[None] | None = None

    def want(self, groups: Mapping[GroupName, ServiceGroup]) -> None:
        """Stand by for these groups from now on, and for no others."""
        if groups.keys() != self._groups.keys():
            self._news.set()
        self._groups = groups
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def look_again(self) -> None:
        """Settings or groups have changed."""
        self._news.set()

    def reports(
        self, ill: Collection[InstanceId] = (), volumes: Mapping[GroupName, Notice] | None = None
    ) -> tuple[StandbyReport, ...]:
        """What is told of each group; one that was not looked at yet is not ready, nor one that needs what is `ill`
        on this node, nor one of the `volumes` that could not be attached here."""
        return tuple(self._report(group, ill, (volumes or {}).get(group.name)) for group in self._groups.values())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _report(self, group: ServiceGroup, ill: Collection[InstanceId], volume: Notice | None) -> StandbyReport:
        outcomes = [self._outcomes.get(each) for each in group.instances if each.engine in ENGINES]
        problems = [outcome.problem for outcome in outcomes if outcome is not None and outcome.problem is not None]
        unseen = Notice(key="standby-not-checked-yet", facts={"group": group.name})
        lacking = sorted(
            {str(each) for instance in group.instances for each in topology.needs(instance) if each in ill}
        )
        if lacking:
            problems.append(Notice(key="standby-needs", facts={"group": group.name, "instance": lacking[0]}))
        if volume is not None:
            problems.append(volume)
        problem = problems[0] if problems else unseen if None in outcomes else None
        return StandbyReport(group=group.name, ready=problem is None, problem=problem)

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._pass()
            except Exception:
                log.exception("standing by failed; it is tried again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._news.wait()

    async def _pass(self) -> None:
        for name in list(self._groups):
            group = self._groups.get(name)
            for instance in group.instances if group else ():
                if instance.engine in ENGINES and name in self._groups:
                    await self._ready(instance, group)  # type: ignore[arg-type]  # a group with instances is there
        mine = {instance for group in self._groups.values() for instance in group.instances}
        for gone in self._outcomes.keys() - mine:
            del self._outcomes[gone]

    async def _ready(self, instance: InstanceId, group: ServiceGroup) -> None:
        engine, context = ENGINES[instance.engine], self._context_of(instance, group)
        inputs = Inputs.of(engine, context)
        before = self._outcomes.get(instance)
        if before is not None and before.stands(inputs):
            return
        problem: Notice | None = None
        try:
            await off_loop(_make_ready, engine, context, inputs)
        except PosthouseError as error:
            problem = Notice.of(error)
        except OSError as error:
            problem = Notice(key="configuration-not-written", facts={"detail": str(error)})
        if problem is not None and (before is None or before.problem != problem):
            log.error("%s: this node could not take it over: %s", instance, problem.facts)
        elif problem is None and (before is None or before.problem is not None):
            log.info("%s: ready to be taken over", instance)
        self._outcomes[instance] = _Outcome(inputs, problem, time.monotonic())
        self._changed()


def _make_ready(engine: Engine, context: RenderContext, inputs: Inputs) -> None:
    """Render and check, unless the same was checked before, by an earlier agent as well. Raises as `apply_ahead`."""
    generations, marker = Generations(context.instance), paths.engine_folder(context.instance) / "checked"
    try:
        checked = json.loads(marker.read_text()) == [generations.current_hash(), inputs.plain]
    except (OSError, ValueError):
        checked = False
    apply_ahead(engine, context, generations, checked=checked)
    if not checked:
        write_atomically(marker, json.dumps([generations.current_hash(), inputs.plain]))
