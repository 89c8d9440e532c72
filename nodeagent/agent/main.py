"""Entry point of `posthouse-agent`."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import sys

from appliance.cluster import keys
from appliance.cluster.decided import Observation
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.report import ClockReport
from appliance.coordination import connect
from appliance.coordination.store import Record
from appliance.node_file import NodeFile
from appliance.service_manager import notify
from appliance.settings.layers import EffectiveSettings
from nodeagent.agent import alerts
from nodeagent.agent.accounts import AccountFollower
from nodeagent.agent.agent import REPORT_FILE, Agent
from nodeagent.agent.domains import DomainFollower
from nodeagent.agent.event_pen import EventPen
from nodeagent.agent.follow import StoreFollower
from nodeagent.agent.handed_over import HandOverFollower
from nodeagent.agent.housekeeping import Housekeeping
from nodeagent.agent.shared_store import SharedStore
from nodeagent.agent.store_writer import StoreWriter
from nodeagent.agent.tasks import tasks
from nodeagent.agent.wake import Bell
from nodeagent.health.peer_wire import PeerTls
from nodeagent.health.peers import Peers
from nodeagent.identity import identity
from nodeagent.resources.units import Units
from nodeagent.work.part import ScheduledWork

log = logging.getLogger("posthouse.agent")

WATCHDOG_EVERY = 20.0


async def serve(node: NodeFile) -> None:
    """Run the agent until SIGTERM or SIGINT. Ending it ends nothing else."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    units = Units()

    def settings(group: GroupName) -> EffectiveSettings:
        return agent.settings(group)

    def tell_clock(report: ClockReport) -> None:
        agent.tell_clock(report)

    shared_store = SharedStore(functools.partial(connect, node))
    writer = StoreWriter(shared_store.open)
    writer.start()
    housekeeping = Housekeeping((*tasks(settings, tell_clock, units.start), alerts.task(node, settings, REPORT_FILE)))
    agent = Agent(node, units, housekeeping, EventPen(node.name, writer.write))

    def changed(records: list[Record], connected: bool) -> None:
        loop.call_soon_threadsafe(agent.take, records, connected)

    peers = Peers(node.name, PeerTls(), functools.partial(_tell_observation, writer, node.name))
    agent.observe_with(peers)
    follower = StoreFollower(node.name, shared_store.open, changed)
    follower.start()
    handed_over = HandOverFollower()
    handed_over.start()
    accounts = AccountFollower(handed_over.changed)
    accounts.start()
    domains = DomainFollower()
    domains.start()
    work = ScheduledWork(node.name, shared_store.open, units)
    bell = Bell(agent.wake)
    bell.hang()
    petting = asyncio.create_task(_pet())
    notify("READY=1")
    try:
        await agent.run(ended, lambda text: writer.write(keys.status(node.name), text))
    finally:
        notify("STOPPING=1")
        bell.take_down()
        petting.cancel()
        follower.end()
        await work.close()
        accounts.end()
        domains.end()
        handed_over.end()
        await peers.close()
        writer.write(keys.observation(node.name), None)
        await housekeeping.close()
        await units.close()
        writer.end()


def _tell_observation(writer: StoreWriter, node: NodeName, unanswered: frozenset[NodeName]) -> None:
    """Whom this node cannot reach, for the controllers; nothing while it reaches all."""
    told = Observation(observer=node, unanswered=unanswered).model_dump_json() if unanswered else None
    writer.write(keys.observation(node), told)


async def _pet() -> None:
    """systemd restarts an agent whose loop hangs (WatchdogSec)."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(WATCHDOG_EVERY)


def main() -> None:
    """Read the identity and serve."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    asyncio.run(serve(identity(log)))
