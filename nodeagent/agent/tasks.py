"""The housekeeping tasks of a node."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from appliance import paths
from appliance.cluster.names import LOCAL_GROUP, EngineName, GroupName, InstanceId, Seconds
from appliance.cluster.report import ClockReport, Notice
from appliance.directory import schema
from appliance.directory.connection import DirectoryConnection, Scope
from appliance.errors import PosthouseError
from appliance.mailbox_move import leftovers
from appliance.node import clock as node_clock
from appliance.off_loop import off_loop
from nodeagent.agent import markers
from nodeagent.agent.disk import DiskWatch
from nodeagent.agent.housekeeping import Task
from nodeagent.agent.stopping import purge_unit

log = logging.getLogger("posthouse.agent")

#: With fewer days left the operator is told; the installation's own certificates are renewed long before.
CERTIFICATE_DAYS = 21
#: The task that also follows the list of revoked certificates.
CERTIFICATES = "certificates"
_PROGRAM = Seconds(600.0)
#: A store that does not answer is asked again for that list.
_STORE_AGAIN = Seconds(20.0)
_DOVECOT = EngineName("dovecot")


def tasks(
    settings: Callable[[GroupName], Mapping[str, Any]],
    told_clock: Callable[[ClockReport], None],
    start: Callable[[str], Awaitable[None]],
) -> tuple[Task, ...]:
    """Every task of a node. `settings` gives what a group goes by; `told_clock` gets each look at the clock;
    `start` starts a unit."""
    watch = DiskWatch(markers.active, settings)

    async def disks() -> tuple[Notice, ...]:
        return await off_loop(watch.look, watch.places())

    async def certificates() -> tuple[Notice, ...]:
        found: dict[str, Any] = json.loads(await _program("appliance.pki.renew"))
        if found["renewed"]:
            log.info("certificates renewed: %s", ", ".join(found["renewed"]))
        if not found["complete"]:
            keys.due = time.monotonic() + _STORE_AGAIN
        days = found["mail_days_left"]
        if days is not None and days < CERTIFICATE_DAYS:
            return (Notice(key="certificate-expires", facts={"days": days}),)
        return ()

    async def clock() -> tuple[Notice, ...]:
        found = await off_loop(node_clock.read)
        told_clock(ClockReport(synchronised=found.synchronised, offset=found.offset))
        if found.service is None:
            return (Notice(key="time-service-missing"),)
        return (Notice(key="time-not-synchronised"),) if found.synchronised is False else ()

    async def deleted_mailboxes() -> tuple[Notice, ...]:
        for group in _with_mailboxes():
            await start(purge_unit(group))
        return ()

    async def abandoned_moves() -> tuple[Notice, ...]:
        held = await off_loop(_moves_noted)
        for group in _with_mailboxes():
            if held or await off_loop(_homes_left, group):
                found = json.loads(await _program("appliance.mailbox_move.abandoned", group))
                for address in found["held"]:
                    log.warning("%s is in use again in group %s: its move was cut off", address, group)
                for address in found["cleared"]:
                    log.info("%s has moved away from group %s: its old copy is removed", address, group)
        return ()

    keys = Task(CERTIFICATES, Seconds(6 * 3600.0), certificates)
    return (
        keys,
        Task("disk space", Seconds(15.0), disks),
        Task("clock", Seconds(60.0), clock),
        Task("abandoned moves", Seconds(20.0), abandoned_moves),
        Task("deleted mailboxes", Seconds(3600.0), deleted_mailboxes, due=_after_start(120.0)),
    )


def _moves_noted() -> bool:
    """Whether any mailbox is held for a move. False while the directory does not answer: it is asked again."""
    try:
        with DirectoryConnection() as connection:
            found = connection.search(schema.DOMAINS, f"({schema.MOVING}=*)", Scope.SUBTREE, ("1.1",), limit=1)
    except PosthouseError:
        return False
    return bool(found.entries)


def _homes_left(group: GroupName) -> bool:
    """Whether moves may have left homes behind in the group's volume."""
    return any(leftovers.noted(group))


async def _program(module: str, *arguments: str) -> str:
    """Run one of our programs; the agent does not hold what it needs only for that. Returns what it printed.

    Cancelled, it ends the program at once: each can be cut off anywhere and is done again later. (A thread that
    waits for it would keep an agent that is told to stop.)
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), _PROGRAM)
    except TimeoutError as error:
        raise PosthouseError("program-failed", program=module, detail=f"> {_PROGRAM:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise PosthouseError("program-failed", program=module, detail=errors.decode(errors="replace").strip()[-300:])
    return output.decode()


def _after_start(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _with_mailboxes() -> list[GroupName]:
    """The groups of this node that keep mailboxes, which its edge does not."""
    return [
        group
        for group in markers.active()
        if group != LOCAL_GROUP and paths.config(InstanceId(_DOVECOT, group)).exists()
    ]
