"""The program of a run in a unit of its own, in the group's slice: it outlives the agent and ends with the group.

The unit carries the run's name and stays until its end was told, so an agent that was started again knows what became
of it: no unit, and it never began or was cut off.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from appliance import paths
from appliance.cluster.names import Seconds
from appliance.cluster.work import Run
from appliance.errors import PosthouseError
from nodeagent.agent import journal
from nodeagent.resources import cgroups
from nodeagent.resources.units import Units
from nodeagent.work.kinds import Kind

_START = Seconds(10.0)
_LINES = 3


class Progress(Enum):
    """How far a program is."""

    #: There is none: it never began, was stopped, or this is another boot.
    ABSENT = "absent"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Look:
    """`result` is systemd's word for the end (`exit-code`, `timeout`, `signal` …); `code` the exit code or signal."""

    progress: Progress
    result: str = ""
    code: int | None = None


class Programs(Protocol):
    """Programs of runs, one for each run."""

    async def start(self, run: Run, kind: Kind) -> None:
        """Begin; raise PosthouseError."""

    async def look(self, run: Run) -> Look:
        """What became of it; raise PosthouseError when nobody can tell now."""

    async def lines(self, run: Run) -> tuple[str, ...]:
        """The last lines that it printed."""

    async def forget(self, run: Run) -> None:
        """End it if it still runs, and forget it; raise PosthouseError."""


def unit_of(run: Run) -> str:
    """The unit in which the run's program runs. Pure."""
    return f"{cgroups.work_prefix(run.group)}{run.work}:{run.id}.service"


def command(run: Run, kind: Kind) -> list[str]:
    """What starts the unit: systemd-run(1). Pure."""
    properties = (
        # one process whose end is the unit's end; it stays known until `forget`
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"TimeoutStartSec={run.patience:.0f}s",
        "KillSignal=SIGKILL",
        f"ConditionPathExists={paths.owned_marker(run.group)}",
        *kind.confinement(run.group),
    )
    return [
        *("systemd-run", "--quiet", "--no-block", "--no-ask-password"),
        *("--unit", unit_of(run), "--slice", cgroups.group_slice(run.group)),
        *("--description", f"Posthouse: {run.work} of group {run.group}"),
        *(f"--property={each}" for each in properties),
        *(sys.executable, "-I", "-m", kind.module, run.group),
        *(f"{name}={value}" for name, value in sorted(run.parameters.items())),
    ]


class UnitPrograms:
    """Programs in units of systemd."""

    def __init__(self, units: Units) -> None:
        self._units = units

    async def start(self, run: Run, kind: Kind) -> None:
        process = await asyncio.create_subprocess_exec(
            *command(run, kind),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, errors = await asyncio.wait_for(process.communicate(), _START)
        except TimeoutError as error:
            raise PosthouseError("program-failed", program="systemd-run", detail=f"> {_START:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            detail = errors.decode(errors="replace").strip()[-300:]
            raise PosthouseError("program-failed", program="systemd-run", detail=detail)

    async def look(self, run: Run) -> Look:
        state = await self._units.state(unit_of(run))
        if state.has_failed:
            return Look(Progress.FAILED, state.result, state.exit_status)
        if state.has_job or state.is_settling or (state.is_running and state.sub != "exited"):
            return Look(Progress.RUNNING)
        return Look(Progress.DONE if state.is_running else Progress.ABSENT)

    async def lines(self, run: Run) -> tuple[str, ...]:
        return await journal.last_lines(unit_of(run), _LINES)

    async def forget(self, run: Run) -> None:
        await self._units.stop(unit_of(run))
        await self._units.forget(unit_of(run))
