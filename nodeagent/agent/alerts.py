"""This node's own alarm: its mail does not work. What other nodes and groups do, the leading controller tells."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.alerts.watch import PROGRAM, TELLING, AlertWatch, failures
from appliance.cluster.names import LOCAL_GROUP, GroupName, Seconds
from appliance.cluster.report import NodeReport, Notice
from appliance.errors import PosthouseError
from appliance.node_file import NodeFile
from appliance.off_loop import off_loop
from nodeagent.agent.housekeeping import Task

#: So many reasons are named in one alert.
_MOST = 5
_EVERY = Seconds(5.0)


def standing(report: NodeReport) -> dict[str, Notice]:
    """What of a node's report is worth waking somebody: mail of a group that it owns does not work. Pure."""
    if not report.owned_groups or report.mail_works:
        return {}
    reasons = [f"{each.instance} {each.state}" for each in report.instances if not each.answers] + [
        warning.key for warning in report.warnings if warning.grave
    ]
    facts: dict[str, str | int | float] = {"node": report.node, "reasons": ", ".join(reasons[:_MOST])}
    return {f"mail-down-{report.node}": Notice(key="alert-mail-down", facts=facts, grave=True)}


def task(node: NodeFile, settings: Callable[[GroupName], Mapping[str, Any]], report_file: Path) -> Task:
    """The housekeeping task that looks at the report which the agent wrote, and tells what is due."""
    watch = AlertWatch(node.hostname)

    async def look() -> tuple[Notice, ...]:
        report = await off_loop(_read, report_file)
        if report is None:
            return ()
        request = watch.step(standing(report), settings(LOCAL_GROUP), time.monotonic())
        return failures(await told(request)) if request else ()

    return Task("alerts", _EVERY, look)


def _read(file: Path) -> NodeReport | None:
    try:
        return NodeReport.model_validate_json(file.read_text())
    except (OSError, ValidationError):
        return None


async def told(request: str) -> str:
    """Have the program tell; return what it printed. Raises PosthouseError when it failed or hung."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(request.encode()), TELLING)
    except TimeoutError as error:
        raise PosthouseError("program-failed", program=PROGRAM, detail=f"> {TELLING:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        detail = errors.decode(errors="replace").strip()[-300:]
        raise PosthouseError("program-failed", program=PROGRAM, detail=detail)
    return output.decode()
