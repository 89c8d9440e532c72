"""The housekeeping tasks of a node."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from typing import Any

from appliance import paths
from appliance.cluster.names import MAIL_GROUP, Seconds
from appliance.cluster.report import Notice
from appliance.errors import PosthouseError
from appliance.node import clock as node_clock
from nodeagent.agent.housekeeping import Task

log = logging.getLogger("posthouse.agent")

#: With fewer days left the operator is told; the installation's own certificates are renewed long before.
CERTIFICATE_DAYS = 21
_PROGRAM = Seconds(600.0)


def tasks() -> tuple[Task, ...]:
    """Every task of a node."""

    async def certificates() -> tuple[Notice, ...]:
        found: dict[str, Any] = json.loads(await asyncio.to_thread(_program, "appliance.pki.renew"))
        if found["renewed"]:
            log.info("certificates renewed: %s", ", ".join(found["renewed"]))
        days = found["mail_days_left"]
        if days is not None and days < CERTIFICATE_DAYS:
            return (Notice(key="certificate-expires", facts={"days": days}),)
        return ()

    async def clock() -> tuple[Notice, ...]:
        found = await asyncio.to_thread(node_clock.read)
        if found.service is None:
            return (Notice(key="time-service-missing"),)
        return (Notice(key="time-not-synchronised"),) if found.synchronised is False else ()

    async def deleted_mailboxes() -> tuple[Notice, ...]:
        if paths.owned_marker(MAIL_GROUP).exists():
            count = int(await asyncio.to_thread(_program, "appliance.directory.purge", MAIL_GROUP))
            if count:
                log.info("removed the mail of %d deleted mailboxes", count)
        return ()

    return (
        Task("certificates", Seconds(6 * 3600.0), certificates),
        Task("clock", Seconds(60.0), clock),
        Task("deleted mailboxes", Seconds(3600.0), deleted_mailboxes, due=_after_start(120.0)),
    )


def _program(module: str, *arguments: str) -> str:
    """Run one of our programs; the agent does not hold what it needs only for that. Returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=_PROGRAM, check=False
    )
    if done.returncode != 0:
        raise PosthouseError("program-failed", program=module, detail=done.stderr.strip()[-300:])
    return done.stdout


def _after_start(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
