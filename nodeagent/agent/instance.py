"""One engine instance under the agent's care: configure, supervise, probe, report.

Every step is small and repeatable; what to do is chosen by `supervise.decide`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from appliance import paths
from appliance.cluster.names import InstanceId, Seconds
from appliance.cluster.report import InstanceReport, Notice, ProbeReport
from appliance.engines.base import Change, Engine, RenderContext
from appliance.engines.generations import Generations, apply
from appliance.errors import PosthouseError
from appliance.off_loop import off_loop
from nodeagent.agent.journal import last_lines
from nodeagent.agent.supervise import Action, Backoff, Seen, State, decide, is_failing, tell
from nodeagent.health.prober import Prober
from nodeagent.ownership.memory import write_atomically
from nodeagent.resources.units import Units, UnitState

log = logging.getLogger("posthouse.agent")

_SETTLE = Seconds(30.0)
_BACKOFF_BASE = Seconds(2.0)
#: A refused configuration is tried again so often: the refusal may have been the machine's, not the setting's.
_RETRY_REFUSED = Seconds(60.0)
#: Running and answering for so long, and earlier failures are forgotten.
_HEALTHY_SPELL = Seconds(60.0)


@dataclass(frozen=True)
class Inputs:
    """Everything a configuration was made from; equal inputs need no new look."""

    context: RenderContext
    outside: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, engine: Engine, context: RenderContext) -> Inputs:
        """As they are now."""
        return cls(context, _stamps(engine.reads(context)))

    @property
    def plain(self) -> list[list[str | int]]:
        """What is outside, as JSON gives it back."""
        return _plain(self.outside)


class ManagedInstance:
    """Runs in the agent's event loop only."""

    def __init__(self, identity: InstanceId, engine: Engine, units: Units, changed: Callable[[], None]) -> None:
        self.id = identity
        self._engine = engine
        self._units = units
        self._changed = changed
        self._generations = Generations(identity)
        self._inputs: Inputs | None = None
        self._pending = Change.NONE
        self._refused: Notice | None = None
        self._retry_at = 0.0
        self._backoff = Backoff()
        self._prober: Prober | None = None
        self._probed: tuple[float, tuple[object, ...]] = (0.0, ())
        self._healthy_since: float | None = None
        self._restarts_when_well: int | None = None
        self._seen = Seen(wanted=True, unit=UnitState("inactive", "dead"))
        self._last_log: tuple[str, ...] = ()
        self._excused = False
        self._hurried_for = 0.0

    async def configure(self, context: RenderContext) -> None:
        """Bring the configuration up to `context`; a refused one is reported and the old one stays."""
        inputs = Inputs.of(self._engine, context)
        before = self._inputs
        retry = self._refused is not None and time.monotonic() >= self._retry_at
        if inputs == before and self._generations.current_hash() is not None and not retry:
            return
        self._inputs = inputs
        self._retry_at = time.monotonic() + _RETRY_REFUSED
        try:
            change = await off_loop(apply, self._engine, context, self._generations)
            missed = self._missed(inputs, before)
            if change is Change.NONE and missed is Change.RELOAD:
                # only a file beside the configuration is new: it has to pass the check all the same
                await off_loop(self._engine.check, context, paths.config(self.id).resolve())
        except PosthouseError as error:
            self._refuse(Notice.of(error))
            return
        except OSError as error:
            self._inputs = before
            self._refuse(Notice(key="configuration-not-written", facts={"detail": str(error)}))
            return
        if self._refused is not None:
            log.info("%s: the configuration is good again", self.id)
        self._refused = None
        self._pending = max(self._pending, change, missed)

    async def supervise(
        self,
        context: RenderContext,
        *,
        wanted: bool,
        restart_asked: bool,
        most: Seconds,
        needs: Sequence[ManagedInstance] = (),
    ) -> Action:
        """Look once, do the one thing that is needed now, and return it. `needs`: without these it cannot answer."""
        unit = await self._units.state(self.id.unit)
        await self._follow_probes(context, unit, wanted)
        excused = self._is_excused(needs)
        failed = self._prober.failed_in_a_row if self._prober else 0
        overloaded = self._prober is not None and self._prober.overloaded
        self._seen = Seen(wanted, unit, self._pending, restart_asked, failed, self._backoff, excused, overloaded)
        now = time.monotonic()
        self._note_health(now)
        action = decide(self._seen, now)
        if action in (Action.START, Action.RESTART, Action.RELOAD, Action.STOP):
            await self._act(action, context, now, most)
        return action

    def well_since(self, moment: float) -> bool | None:
        """Whether it answered everything asked after `moment` (monotonic seconds); None: not heard since."""
        if self._prober is None or not (self._seen.wanted and self._seen.unit.is_running):
            return False
        found = self._prober.well_since(moment)
        if found is None and moment > self._hurried_for:
            self._hurried_for = moment
            self._prober.hurry()
        return found

    def _is_excused(self, needs: Sequence[ManagedInstance]) -> bool:
        """Whether failed probes may be the fault of what it needs; those of the time of that illness are forgotten."""
        since = self._prober.failing_since if self._prober else None
        if self._prober is None or since is None:
            self._excused = False
            return False
        answers = [needed.well_since(since) for needed in needs]
        if False in answers:
            self._excused = True
        elif None not in answers and self._excused:
            log.info("%s: what it needs answers again; its own failures until now do not count", self.id)
            self._excused = False
            self._prober.forgive()
        return self._excused or None in answers

    async def close(self) -> None:
        """Stop looking; what runs goes on."""
        if self._prober is not None:
            await self._prober.stop()

    @property
    def healthy(self) -> bool:
        """Runs, answers every probe, and its configuration is the wanted one; a stopped one is not healthy."""
        answers = self._prober is not None and self._prober.healthy
        return self._seen.wanted and self._seen.unit.is_running and answers and self._refused is None

    @property
    def answers(self) -> bool:
        """The engine itself is fine, whatever a refused setting says."""
        return self._prober is not None and self._prober.healthy

    def report(self) -> InstanceReport:
        """What an operator is told."""
        verdicts = self._prober.verdicts if self._prober else {}
        return InstanceReport(
            instance=str(self.id),
            state=tell(self._seen),
            healthy=self.healthy,
            since=self._seen.unit.started,
            restarts=self._seen.unit.restarts,
            generation=self._generations.current_hash(),
            refused=self._refused,
            probes=tuple(
                ProbeReport(name=name, ok=verdict.ok, took=round(verdict.took, 4), problem=verdict.problem)
                for name, verdict in verdicts.items()
            ),
            failing=self._seen.wanted and is_failing(self._backoff.attempts, self._crashes),
            last_log=self._last_log if tell(self._seen) in (State.FAILED, State.BACKING_OFF, State.UNHEALTHY) else (),
        )

    @property
    def _addresses(self) -> tuple[str, ...]:
        """From where probes come besides loopback."""
        return tuple(map(str, self._inputs.context.group.addresses)) if self._inputs else ()

    @property
    def _crashes(self) -> int:
        """systemd's restarts since it was last well for a while; a start by hand counts from 0 again."""
        restarts, before = self._seen.unit.restarts, self._restarts_when_well or 0
        return restarts - before if restarts >= before else restarts

    @property
    def _loaded_marker(self) -> Path:
        return paths.engine_folder(self.id) / "loaded"

    def _missed(self, inputs: Inputs, before: Inputs | None) -> Change:
        """What the unit has not loaded yet besides a new generation: new certificates, or what an
        earlier agent wrote and ended before it was loaded."""
        if before is not None:
            return Change.RELOAD if before.outside != inputs.outside else Change.NONE
        try:
            generation, outside = json.loads(self._loaded_marker.read_text())
        except (OSError, ValueError):
            return Change.RESTART
        if generation != self._generations.current_hash():
            return Change.RESTART
        return Change.NONE if outside == _plain(inputs.outside) else Change.RELOAD

    async def _note_loaded(self) -> None:
        assert self._inputs is not None
        loaded = [self._generations.current_hash(), _plain(self._inputs.outside)]
        await off_loop(write_atomically, self._loaded_marker, json.dumps(loaded))

    def _refuse(self, notice: Notice) -> None:
        if notice != self._refused:
            log.error("%s: new configuration refused, the last good one stays: %s", self.id, notice.facts)
            self._refused = notice
            self._changed()

    def _note_health(self, now: float) -> None:
        """After a healthy spell the back-off starts from the beginning again."""
        if self._restarts_when_well is None:
            self._restarts_when_well = self._seen.unit.restarts
        if not (self._seen.unit.is_running and self.answers):
            self._healthy_since = None
        elif self._healthy_since is None:
            self._healthy_since = now
        elif now - self._healthy_since >= _HEALTHY_SPELL:
            self._backoff = Backoff()
            self._restarts_when_well = self._seen.unit.restarts

    async def _follow_probes(self, context: RenderContext, unit: UnitState, wanted: bool) -> None:
        """Probe only what runs; a new start begins with fresh verdicts, and so do other listeners."""
        found = self._engine.probes(context)
        listeners = (context.group.addresses, *(probe.name for probe in found))
        is_new = (unit.started, listeners) != self._probed
        if self._prober is not None and (not unit.is_running or not wanted or is_new):
            await self._prober.stop()
            self._prober = None
            self._changed()
        if self._prober is None and unit.is_running and wanted:
            every = Seconds(context.settings["agent.probe_interval"])
            probes = tuple(replace(probe, every=every) for probe in found)
            self._prober = Prober(probes, self._changed)
            self._probed = (unit.started, listeners)
            self._prober.start()

    async def _act(self, action: Action, context: RenderContext, now: float, most: Seconds) -> None:
        if self._generations.current_hash() is None and action is not Action.STOP:
            return  # never a start without a configuration that passed its check
        log.info("%s: %s", self.id, action)
        if action in (Action.START, Action.RESTART):
            await self._before_start(now, most)
            await off_loop(self._engine.ready, context)
            await off_loop(self._engine.prepare, context)
        if action is not Action.RELOAD and self._prober is not None:
            await self._prober.stop()  # what it found was said by the process that ends now
            self._prober = None
        await getattr(self._units, action)(self.id.unit)
        self._pending = Change.NONE
        state = await self._units.settled(self.id.unit, _SETTLE)
        if action is not Action.STOP and state.is_running:
            await self._note_loaded()
        self._seen = Seen(self._seen.wanted, state, backoff=self._backoff)
        self._changed()

    async def _before_start(self, now: float, most: Seconds) -> None:
        """Count the attempt, unless it was asked for; note what a failed one left in the journal."""
        if self._seen.unit.is_running and (self._seen.restart_asked or self._pending is Change.RESTART):
            return
        if self._backoff.attempts or self._seen.failed_probes or self._seen.unit.has_failed:
            self._last_log = await last_lines(self.id.unit, addresses=self._addresses)
            log.warning("%s: failed before; last lines: %s", self.id, " | ".join(self._last_log))
        self._backoff = self._backoff.after_attempt(now, _BACKOFF_BASE, most)


def _plain(stamps: tuple[tuple[str, int, int], ...]) -> list[list[str | int]]:
    """Stamps as JSON gives them back."""
    return [list(stamp) for stamp in stamps]


def _stamps(files: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """What tells that a file outside the generation was replaced."""
    stamps = []
    for file in files:
        try:
            about = file.stat()
            stamps.append((str(file), about.st_mtime_ns, about.st_ino))
        except OSError:
            stamps.append((str(file), 0, 0))
    return tuple(stamps)
