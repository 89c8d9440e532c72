"""Carries out the runs that were ordered for the groups of this node: begins each once, waits for its end, tells it.

Every write is guarded by session, ownership and the run as it was read (appliance.ownership.work). A program outlives
the agent; a run that stands as begun here and has no program was cut off, and is told as lost, never begun again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial

from pydantic import ValidationError

from appliance.cluster import keys
from appliance.cluster.model import OwnershipStage
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.cluster.work import OVER, Run, RunState
from appliance.coordination.store import Record, Store, StoreUnavailable
from appliance.errors import PosthouseError
from appliance.off_loop import off_loop
from appliance.ownership import work
from appliance.ownership.records import OwnerSeen, owner_seen
from nodeagent.work.endings import Ending, of_look, told_lines
from nodeagent.work.kinds import KINDS, Kind
from nodeagent.work.programs import Programs, Progress

log = logging.getLogger("posthouse.agent")

_TICK = Seconds(1.0)
_LOOK_EVERY = Seconds(0.5)
#: How often a run that goes on tells its last lines.
_PROGRESS_EVERY = Seconds(15.0)
_RETRY = Seconds(2.0)
_REPLY = Seconds(3.0)


class WorkRunner:
    """Runs in the agent's event loop. `owned` gives the groups whose engines may run here."""

    def __init__(
        self,
        node: NodeName,
        connect: Callable[[], Store],
        programs: Programs,
        owned: Callable[[], Collection[GroupName]],
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self._node = node
        self._connect = connect
        self._programs = programs
        self._owned = owned
        self._kinds = kinds
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._claims: dict[str, datetime] = {}
        self._news = asyncio.Event()

    def take(self, records: list[Record], connected: bool) -> None:
        """The runs that stand in the store, or word that it is away."""
        if connected:
            self._runs = readable(records)
            self._not_before = {key: at for key, at in self._not_before.items() if key in self._runs}
            self._claims = {key: at for key, at in self._claims.items() if key in self._runs}
            self._news.set()

    async def run(self) -> None:
        """Until cancelled; programs go on then, and the next agent waits for their ends."""
        try:
            while True:
                self._news.clear()
                self._step()
                try:
                    async with asyncio.timeout(_TICK):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _step(self) -> None:
        now = time.monotonic()
        waiting = {key for key, at in self._not_before.items() if now < at}
        for key in due(self._runs, self._owned(), self._tasks.keys()):
            if key not in waiting:
                task = self._tasks[key] = asyncio.create_task(self._look_after(key))
                task.add_done_callback(partial(self._ended, key))

    def _ended(self, key: str, _: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        self._news.set()

    async def _look_after(self, key: str) -> None:
        """One run; whatever fails is tried again."""
        self._not_before[key] = time.monotonic() + _RETRY
        try:
            await self._carry(key)
        except (PosthouseError, OSError) as error:
            log.warning("%s is looked at again: %s", key, error)
        except Exception:
            log.exception("%s: looking after this run failed; it is tried again", key)

    async def _carry(self, key: str) -> None:
        seen = await self._read(key)
        if seen is None:
            return
        run, revision, owner = seen
        if run.state is RunState.ORDERED:
            begun = await self._begin(key, run, revision, owner)
            if begun is None:
                return
            run = begun
            ending = await self._start(run)
        elif not mine(run, owner):
            await self._programs.forget(run)
            ending = Ending(RunState.LOST, "work-run-owner-changed")
        else:
            ending = await self._resume(key, run)
        await self._tell_end(key, run, ending or await self._wait(key, run))
        await self._programs.forget(run)

    async def _begin(self, key: str, run: Run, revision: int, owner: OwnerSeen) -> Run | None:
        now = self._claims[key] = datetime.now(UTC)
        claim = work.begin(run, revision, owner, now)
        if not (await off_loop(lambda: claim.send(self._connect(), _REPLY))).succeeded:
            return None  # somebody was quicker, or this node owns the group no more
        del self._claims[key]
        log.info("group %s: %s begins", run.group, run.work)
        told = {
            "state": RunState.RUNNING,
            "owner": self._node,
            "session_epoch": owner.record.session_epoch,
            "began": now,
        }
        return run.model_copy(update=told)

    async def _start(self, run: Run) -> Ending | None:
        """Begin its program; an ending when there can be none."""
        kind = self._kinds.get(run.kind)
        if kind is None:
            return Ending(RunState.FAILED, "work-run-kind-unknown")
        if not kind.fits(run.group):
            return Ending(RunState.FAILED, "work-run-not-for-group")
        try:
            await self._programs.start(run, kind)
        except (PosthouseError, OSError) as error:
            return Ending(RunState.FAILED, "work-run-not-started", detail=told_lines([str(error)]))
        return None

    async def _resume(self, key: str, run: Run) -> Ending | None:
        """A run that stands as begun by this node: its program still runs, or has ended, or was cut off."""
        if (await self._programs.look(run)).progress is not Progress.ABSENT:
            return None
        if self._claims.pop(key, None) == run.began:
            return await self._start(run)  # the claim's answer never came
        return Ending(RunState.LOST, "work-run-cut-off")

    async def _wait(self, key: str, run: Run) -> Ending:
        """Until its program has ended, or the run is over by somebody else's word."""
        told, next_told = run.detail, time.monotonic() + _PROGRESS_EVERY
        while (look := await self._programs.look(run)).progress is Progress.RUNNING:
            stands = self._runs.get(key)
            if stands is None or stands.state in OVER:
                log.warning("group %s: %s is no longer wanted and is ended", run.group, run.work)
                return Ending(RunState.LOST, "work-run-cut-off")
            if time.monotonic() >= next_told:
                next_told = time.monotonic() + _PROGRESS_EVERY
                told = await self._tell_progress(key, run, told)
            await asyncio.sleep(_LOOK_EVERY)
        ending = of_look(look, await self._programs.lines(run))
        if ending.state is RunState.FAILED and run.group not in self._owned():  # it was ended with the group
            return Ending(RunState.LOST, "work-run-cut-off", detail=ending.detail)
        return ending

    async def _tell_progress(self, key: str, run: Run, told: str) -> str:
        """The last lines, when they are new; progress that cannot be told now is told the next time."""
        detail = told_lines(await self._programs.lines(run))
        if detail == told:
            return told
        try:
            seen = await self._read(key)
            if seen is None or seen[0].state is not RunState.RUNNING or not mine(seen[0], seen[2]):
                return told
            news = work.progress(*seen, detail=detail)
            await off_loop(lambda: news.send(self._connect(), _REPLY))
        except StoreUnavailable:
            return told
        return detail

    async def _tell_end(self, key: str, run: Run, ending: Ending) -> None:
        """Raises StoreUnavailable; the program is remembered then, and its end is told the next time."""
        seen = await self._read(key)
        if seen is None or seen[0].state is not RunState.RUNNING or seen[0].began != run.began:
            return
        stands, revision, owner = seen
        if not mine(stands, owner) and ending.state is not RunState.LOST:
            return  # the session has changed: the next look tells it as lost
        end = work.end(
            stands,
            revision,
            owner,
            datetime.now(UTC),
            state=ending.state,
            reason=ending.reason,
            exit_code=ending.code,
            detail=ending.detail,
        )
        if (await off_loop(lambda: end.send(self._connect(), _REPLY))).succeeded:
            log.info("group %s: %s ended: %s %s", run.group, run.work, ending.state, ending.detail)

    async def _read(self, key: str) -> tuple[Run, int, OwnerSeen] | None:
        """The run as it stands and its group's ownership; None when it is over, gone, or this node's no more."""

        def read() -> tuple[Record | None, Record | None]:
            store = self._connect()
            group = GroupName(key.removeprefix(keys.RUNS).partition("/")[0])
            return store.get(key, deadline=_REPLY), store.get(keys.owner(group), deadline=_REPLY)

        record, owned = await off_loop(read)
        run = readable([record]).get(key) if record is not None else None
        owner = owner_seen(owned) if owned is not None else None
        if record is None or run is None or run.state in OVER or owner is None:
            return None
        if owner.record.node != self._node or owner.record.stage is not OwnershipStage.CONFIRMED:
            return None
        return run, record.mod_revision, owner


def readable(records: list[Record]) -> dict[str, Run]:
    """The runs by key; what a newer release wrote is left alone. Pure."""
    found = {}
    for record in records:
        try:
            run = Run.model_validate_json(record.value)
        except (ValidationError, PosthouseError):
            continue
        if keys.run(run.group, run.work, run.id) == record.key:
            found[record.key] = run
    return found


def due(runs: Mapping[str, Run], owned: Collection[GroupName], busy: Collection[str]) -> list[str]:
    """Keys of the runs to look after now: of groups here, not over, one of each work, the oldest first. Pure."""
    taken = {key.rpartition("/")[0] for key in busy}
    found = []
    for key in sorted(runs):
        work_key = key.rpartition("/")[0]
        if runs[key].state not in OVER and runs[key].group in owned and work_key not in taken:
            taken.add(work_key)
            found.append(key)
    return found


def mine(run: Run, owner: OwnerSeen) -> bool:
    """Whether the group's owner, in its present session, began the run. Pure."""
    return (run.owner, run.session_epoch) == (owner.record.node, owner.record.session_epoch)
