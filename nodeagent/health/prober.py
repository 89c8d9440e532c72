"""Runs an instance's probes, each on its own rhythm and under its own deadline.

A fresh instance is asked ever less often, at least every second, until it has answered once; failures before
that, within the start-up grace, do not count as a hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.cluster.names import Seconds
from appliance.cluster.report import Notice
from appliance.engines.base import Overloaded, Probe
from appliance.errors import PosthouseError

log = logging.getLogger("posthouse.agent")

_EAGER = Seconds(1.0)
#: Until the first answer pauses begin here and double: most engines answer within a second of their start.
_FIRST_PAUSE = Seconds(0.05)
#: How long the engine may take to say whether it is overloaded; silence is a failure.
_WORD = Seconds(2.0)
#: How long an instance may take from its start to its first good answer.
START_GRACE = Seconds(30.0)


@dataclass
class Verdict:
    """The latest of one probe. `failures` counts in a row; `took` in seconds.

    `overloaded`: it failed because every process is busy, which is no failure of the engine and is not counted.
    `asked` is when the latest answered or failed question was sent, `failing_since` when the first of the
    failures in a row was noted (monotonic seconds).
    """

    ok: bool | None = None
    failures: int = 0
    overloaded: bool = False
    took: float = 0.0
    asked: float = 0.0
    failing_since: float = 0.0
    problem: Notice | None = None


@dataclass
class Prober:
    """The probes of one running instance. `changed` is called when a probe's verdict turns."""

    probes: tuple[Probe, ...]
    changed: Callable[[], None]
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _began: float = 0.0
    _hurried: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        self._began = time.monotonic()
        for probe in self.probes:
            self.verdicts[probe.name] = Verdict()
            self._tasks.append(asyncio.create_task(self._repeat(probe)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.verdicts.clear()

    @property
    def healthy(self) -> bool:
        """Every probe's latest answer was right."""
        return all(verdict.ok for verdict in self.verdicts.values())

    @property
    def failed_in_a_row(self) -> int:
        """The worst probe's failures in a row; 0 while the instance may still be starting."""
        worst = max((verdict.failures for verdict in self.verdicts.values()), default=0)
        answered = any(verdict.ok is not None and verdict.took for verdict in self.verdicts.values())
        starting = time.monotonic() - self._began < START_GRACE
        return 0 if starting and not answered else worst

    @property
    def overloaded(self) -> bool:
        """Whether some probe found every process busy."""
        return any(verdict.overloaded for verdict in self.verdicts.values())

    @property
    def failing_since(self) -> float | None:
        """When the oldest failure that still stands was noted (monotonic seconds)."""
        return min((verdict.failing_since for verdict in self.verdicts.values() if verdict.failures), default=None)

    def well_since(self, moment: float) -> bool | None:
        """Whether every probe got a good answer to a question sent after `moment`; None while some was not asked."""
        if any(verdict.ok is False for verdict in self.verdicts.values()):
            return False
        return True if all(v.ok and v.asked >= moment for v in self.verdicts.values()) else None

    def hurry(self) -> None:
        """Ask everything now instead of at its next turn."""
        self._hurried.set()  # whoever sleeps wakes
        self._hurried = asyncio.Event()

    def forgive(self) -> None:
        """Forget failures: they were somebody else's."""
        for verdict in self.verdicts.values():
            verdict.failures, verdict.failing_since = 0, 0.0

    async def _repeat(self, probe: Probe) -> None:
        verdict = self.verdicts[probe.name]
        while True:
            await self._once(probe, verdict)
            # who is overloaded is not asked more often for it
            calm = verdict.ok or verdict.overloaded
            eager = min(_EAGER, _FIRST_PAUSE * 2 ** min(verdict.failures, 16)) if not verdict.took else _EAGER
            await self._pause(probe.every if calm else min(eager, probe.every))

    async def _pause(self, seconds: float) -> None:
        """Sleep, or until hurried."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    async def _once(self, probe: Probe, verdict: Verdict) -> None:
        before = verdict.ok
        sent = time.monotonic()
        try:
            async with asyncio.timeout(probe.deadline):
                await probe.run()
        except TimeoutError:
            verdict.ok, verdict.problem = False, Notice(key="probe-no-answer", facts={"seconds": probe.deadline})
        except PosthouseError as error:
            verdict.ok, verdict.problem = False, Notice.of(error)
        except OSError as error:
            facts = {"probe": probe.name, "detail": error.strerror or str(error)}
            verdict.ok, verdict.problem = False, Notice(key="probe-failed", facts=facts)
        except Exception as error:
            log.exception("probe %s", probe.name)
            facts = {"probe": probe.name, "detail": repr(error)}
            verdict.ok, verdict.problem = False, Notice(key="probe-failed", facts=facts)
        else:
            verdict.ok, verdict.problem, verdict.took = True, None, time.monotonic() - sent
        overloaded = None if verdict.ok else await _overload(probe)
        verdict.overloaded = overloaded is not None
        verdict.problem = Notice.of(overloaded) if overloaded else verdict.problem
        verdict.asked = sent
        if verdict.ok or verdict.overloaded:
            verdict.failures, verdict.failing_since = 0, 0.0
        else:
            verdict.failures += 1
            verdict.failing_since = verdict.failing_since or time.monotonic()
        if verdict.ok != before:
            self.changed()


async def _overload(probe: Probe) -> Overloaded | None:
    """Whether a failed probe found every process busy; None also when the engine does not say."""
    if probe.overload is None:
        return None
    try:
        async with asyncio.timeout(_WORD):
            return await probe.overload()
    except (PosthouseError, OSError):
        return None
    except Exception:
        log.exception("probe %s: asking for an overload", probe.name)
        return None
