"""The housekeeping tasks of a node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from appliance import paths
from appliance.cluster.names import MAIL_GROUP, Seconds
from appliance.cluster.report import Notice
from appliance.node import clock as node_clock
from appliance.node_file import NodeFile
from appliance.pki import upkeep
from nodeagent.agent.housekeeping import Task

log = logging.getLogger("posthouse.agent")


def tasks(identity: NodeFile, purge: Callable[[], int]) -> tuple[Task, ...]:
    """Every task. `purge` removes the mail of mailboxes whose time has passed and returns how many."""

    async def certificates() -> tuple[Notice, ...]:
        renewed = await asyncio.to_thread(upkeep.ensure, identity)
        if renewed:
            log.info("certificates renewed: %s", ", ".join(renewed))
        return ()

    async def clock() -> tuple[Notice, ...]:
        found = await asyncio.to_thread(node_clock.read)
        if found.service is None:
            return (Notice(key="time-service-missing"),)
        return (Notice(key="time-not-synchronised"),) if found.synchronised is False else ()

    async def deleted_mailboxes() -> tuple[Notice, ...]:
        if paths.owned_marker(MAIL_GROUP).exists():
            count = await asyncio.to_thread(purge)
            if count:
                log.info("removed the mail of %d deleted mailboxes", count)
        return ()

    return (
        Task("certificates", Seconds(6 * 3600.0), certificates),
        Task("clock", Seconds(60.0), clock),
        Task("deleted mailboxes", Seconds(3600.0), deleted_mailboxes, due=_after_start(120.0)),
    )


def _after_start(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
