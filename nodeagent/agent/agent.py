"""The agent: for every group this node owns, make each instance what the store says, and report.

It owns nothing itself. What may run here stands in the keeper's markers; the
units check them again at each start.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from appliance import paths
from appliance.cluster.model import Node, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, GroupName, InstanceId, Seconds
from appliance.cluster.report import ClockReport, NodeReport, Notice
from appliance.coordination.store import Record
from appliance.engines import topology
from appliance.engines.base import RenderContext
from appliance.engines.catalogue import ENGINES, engine_of
from appliance.errors import PosthouseError
from appliance.node_file import NodeFile
from appliance.off_loop import off_loop
from appliance.settings.layers import EffectiveSettings, engine_settings
from nodeagent.agent import desired, machine, markers, members
from nodeagent.agent.arrivals import Arrivals
from nodeagent.agent.event_pen import EventPen
from nodeagent.agent.figures import FiguresServer
from nodeagent.agent.housekeeping import Housekeeping
from nodeagent.agent.instance import ManagedInstance
from nodeagent.agent.markers import Marker, Stage
from nodeagent.agent.restarts import RestartLedger
from nodeagent.agent.standby import Standby, candidates
from nodeagent.agent.stopping import Stopper
from nodeagent.agent.supervise import Action
from nodeagent.agent.tasks import CERTIFICATES
from nodeagent.health.peers import Peers
from nodeagent.health.volumes import VolumeWatch, Watched, watched
from nodeagent.ownership.memory import write_atomically
from nodeagent.resources.units import Units

log = logging.getLogger("posthouse.agent")

KEPT = paths.KEPT
#: What everybody on the node may read, and the same with log lines for root.
REPORT_FILE = paths.RUN / "status.json"
FULL_REPORT_FILE = paths.RUN / "status-full.json"
#: How often every instance is looked at; a change in the store is acted on at once.
TICK = Seconds(1.0)
#: So long a round waits for its looks; a slow one goes on beside the next rounds and their reports.
PATIENCE = Seconds(2.0)
#: How long looks under way may still take when the agent ends: one cut off may restart its engine later.
_FAREWELL = Seconds(6.0)
#: How often the report is renewed without news.
HEARTBEAT = Seconds(10.0)
#: What differs in every report and is no news.
_ALWAYS_NEW: Any = {"reported_at": True, "instances": {"__all__": {"probes": {"__all__": {"took"}}}}}


class Agent:
    """Runs in one event loop; `take` may be called from other threads through the loop."""

    def __init__(self, identity: NodeFile, units: Units, housekeeping: Housekeeping, events: EventPen) -> None:
        self._identity = identity
        self._units = units
        self._events = events
        self._housekeeping = housekeeping
        self._release = version("posthouse")
        self._ledger = RestartLedger()
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._markers: Mapping[GroupName, Marker] = {}
        self._stopper = Stopper(units)
        self._standby = Standby(self._context, self.wake)
        self._arrivals = Arrivals(self._arrived)
        self._volumes = VolumeWatch(self._watched, self.wake)
        self._clock: ClockReport | None = None
        self._instances: dict[InstanceId, ManagedInstance] = {}
        self._looks: dict[InstanceId, asyncio.Task[None]] = {}
        self._troubles: dict[InstanceId, Notice] = {}
        self._records = desired.kept(KEPT)
        self._desired = desired.read(self._records, identity.name)
        self._connected = False
        self._problems: tuple[Notice, ...] = ()
        self._effective: dict[GroupName, EffectiveSettings] = {}
        self._peers: Peers | None = None
        self._figures = FiguresServer(lambda: self._latest, lambda: self._peers.answers if self._peers else {})
        self._latest: NodeReport | None = None
        self._to_keep: list[Record] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._edge_ended = False

    def observe_with(self, peers: Peers) -> None:
        """Have `peers` know all nodes and this one's address, from now on."""
        self._peers = peers
        self._tell_nodes()

    def _tell_nodes(self) -> None:
        if self._peers is not None:
            address = self._node.address
            revoked = self._desired.revoked
            self._peers.follow(
                self._desired.nodes, str(address) if address else None, revoked.serials if revoked else frozenset()
            )

    def take(self, records: list[Record], connected: bool) -> None:
        """New records from the store, or word that it is away (the old ones stay in force)."""
        self._connected = connected
        if connected:
            self._records = records
            before, self._desired = self._desired, desired.read(records, self._identity.name, self._desired)
            if before.revoked != self._desired.revoked:
                self._housekeeping.hurry(CERTIFICATES)
            members.follow(self._desired.nodes, self._identity.name)
            self._effective.clear()
            self._standby.look_again()
            self._tell_nodes()
            if not self._desired.unreadable:  # what is kept for a boot without the store is always readable
                self._keep(records)
        self._wake.set()

    def _keep(self, records: list[Record]) -> None:
        """On disk, which may be slow: beside the loop, the newest last."""
        self._to_keep = records
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep_newest())

    async def _keep_newest(self) -> None:
        while self._to_keep is not None:
            records, self._to_keep = self._to_keep, None
            try:
                await off_loop(desired.keep, records, KEPT)
            except OSError as error:
                log.error("what the store says was not kept for a boot without it: %s", error)

    def wake(self) -> None:
        """Look at everything now and not at the next tick."""
        self._wake.set()

    async def run(self, ended: asyncio.Event, publish: Callable[[str], None]) -> None:
        """Reconcile until `ended`. `publish(text)` hands the report on."""
        last_report, reported_at = "", 0.0
        volumes = asyncio.create_task(self._volumes.run())
        while not ended.is_set():
            self._wake.clear()
            await self._reconcile(ended)
            report = self._latest = self._report()
            text = report.model_dump_json()
            comparable = report.model_dump_json(exclude=_ALWAYS_NEW)
            if comparable != last_report or time.monotonic() - reported_at >= HEARTBEAT:
                last_report, reported_at = comparable, time.monotonic()
                _write_report(report)
                publish(text)
            await _first(TICK, self._wake, ended)
        volumes.cancel()
        await asyncio.gather(volumes, self._stopper.close(), self._standby.close(), return_exceptions=True)
        await self._end_looks()
        if self._keeping is not None:
            await asyncio.wait([self._keeping], timeout=_FAREWELL)
        for instance in self._instances.values():
            await instance.close()

    async def _reconcile(self, ended: asyncio.Event) -> None:
        """Look at every instance that is not being looked at, and wait a little for what that brings."""
        self._markers = markers.standing()
        wanted = dict(self._wanted())
        self._give_up()
        for gone in self._instances.keys() - wanted.keys():
            if gone not in self._looks:  # else at the end of its look
                self._troubles.pop(gone, None)
                await self._instances.pop(gone).close()
        await self._end_edge(wanted)
        self._problems = _distinct(self._notices())
        for identity, group in wanted.items():
            if identity not in self._looks:
                look = asyncio.create_task(self._one(identity, group))
                self._looks[identity] = look
                look.add_done_callback(functools.partial(self._looked, identity))
        self._standby.want(candidates(self._desired.groups, self._node, self._markers))
        self._housekeeping.tick()
        self._figures.follow(self.settings(LOCAL_GROUP)["agent.metrics_port"])
        if self._looks:
            self._quiet.clear()
            await _first(PATIENCE, self._quiet, self._wake, ended)

    async def _end_edge(self, wanted: Collection[InstanceId]) -> None:
        """End an edge that this node has no longer: its group, the local one, is never given up."""
        if topology.EDGE in wanted or not self._desired.nodes:
            self._edge_ended = False
        elif not self._edge_ended:
            try:
                await self._units.stop(topology.EDGE.unit)
                self._edge_ended = True
            except PosthouseError as error:
                log.error("%s could not be stopped, it is tried again: %s", topology.EDGE, error)

    def _give_up(self) -> None:
        """End what runs of groups that are being given up; a look under way must not start it again."""
        stopping = [name for name, marker in self._markers.items() if marker.stage is Stage.STOPPING]
        for identity, look in self._looks.items():
            if identity.group in stopping:
                look.cancel()
        self._stopper.follow({name: self._engines_of(name) for name in stopping})

    def _engines_of(self, name: GroupName) -> list[InstanceId]:
        """Whatever may run of a group, in start order, also when its record is gone or says otherwise by now."""
        group = self._group(name)
        known = list(group.instances) if group else []
        return [each for engine in ENGINES if (each := InstanceId(engine, name)) not in known] + known

    def _looked(self, identity: InstanceId, look: asyncio.Task[None]) -> None:
        del self._looks[identity]
        if not self._looks:
            self._quiet.set()

    async def _end_looks(self) -> None:
        if not self._looks:
            return
        _, late = await asyncio.wait(self._looks.values(), timeout=_FAREWELL)
        for look in late:
            look.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _wanted(self) -> Iterable[tuple[InstanceId, ServiceGroup]]:
        """Instances of the groups that the keeper says this node owns, in start order."""
        active = (name for name, marker in self._markers.items() if marker.stage is Stage.ACTIVE)
        for name in sorted(active, key=lambda name: (name != LOCAL_GROUP, name)):
            group = self._group(name)
            for identity in group.instances if group else ():
                if identity.engine in ENGINES:
                    yield identity, group  # type: ignore[misc]  # a group with instances is there

    async def _one(self, identity: InstanceId, group: ServiceGroup) -> None:
        managed = self._instances.get(identity)
        if managed is None:
            managed = ManagedInstance(identity, engine_of(identity), self._units, self._wake.set)
            self._instances[identity] = managed
        settings = self.settings(group.name)
        context = self._context(identity, group)
        try:
            await managed.configure(context)
            generation = self._desired.restarts.get(identity)
            action = await managed.supervise(
                context,
                wanted=identity not in self._desired.stopped,
                restart_asked=self._ledger.is_due(identity, generation),
                most=Seconds(settings["agent.restart_backoff_max"]),
                needs=[self._instances[each] for each in topology.needs(identity) if each in self._instances],
            )
            if action in (Action.START, Action.RESTART):
                self._ledger.done(identity, generation)
            self._troubles.pop(identity, None)
            if managed.answers:
                self._arrivals.look(self._markers.get(group.name), identity, engine_of(identity), context)
        except PosthouseError as error:
            log.warning("%s: %s", identity, error)
            self._troubles[identity] = Notice.of(error)
        except Exception:
            log.exception("%s: looking after it failed; the next look follows", identity)
            self._troubles[identity] = Notice(key="instance-look-failed", facts={"instance": str(identity)})

    def _context(self, identity: InstanceId, group: ServiceGroup) -> RenderContext:
        return RenderContext(
            identity,
            group,
            self._node,
            self._identity.hostname,
            self.settings(group.name),
            self._desired.nodes,
            self._desired.groups,
        )

    def _arrived(self, instance: InstanceId, key: str) -> None:
        log.info("%s: %s", instance, key)
        self._events.tell(key, instance.group, instance=str(instance))

    def _watched(self) -> Mapping[Path, Watched]:
        """The volumes of the groups that run here."""
        active = (name for name, marker in self._markers.items() if marker.stage is Stage.ACTIVE)
        return watched(group for name in active if (group := self._desired.groups.get(name)) is not None)

    def tell_clock(self, report: ClockReport) -> None:
        """The newest look at the clock."""
        self._clock = report

    @property
    def _node(self) -> Node:
        identity = self._identity
        known = self._desired.nodes.get(identity.name)
        return known or Node(name=identity.name, roles=identity.roles, address=identity.address)

    def _group(self, name: GroupName) -> ServiceGroup | None:
        return self._local() if name == LOCAL_GROUP else self._desired.groups.get(name)

    def _local(self) -> ServiceGroup:
        """What this node runs for itself."""
        return desired.local(self._node, self._desired.groups.values(), self._edge_addresses())

    def _edge_addresses(self) -> tuple[topology.Address, ...]:
        """Where this node's edge is to listen if not at its own address."""
        return tuple(ip_address(each) for each in self.settings(LOCAL_GROUP)["edge.addresses"])

    def settings(self, group: GroupName) -> EffectiveSettings:
        """What engines of `group` go by on this node."""
        if group not in self._effective:
            self._effective[group] = engine_settings(self._desired.settings, self._identity.name, group)
        return self._effective[group]

    def _notices(self) -> Iterable[Notice]:
        """What is wrong with the desired state itself."""
        for name in self._markers:
            if self._group(name) is None:
                yield Notice(key="group-unknown", facts={"group": name})
        for address in self._edge_addresses():
            if (group := topology.owner_of(address, self._desired.groups.values())) is not None:
                yield Notice(key="edge-address-of-group", facts={"address": str(address), "group": group.name})
        for key in self._desired.unreadable:
            yield Notice(key="record-unreadable", facts={"key": key})
        for found in self._effective.values():
            for refusal in found.refused:
                yield Notice(key="setting-unreadable", facts={"name": refusal.name, "detail": str(refusal.error)})
            yield from (Notice.of(rule) for rule in found.broken)
        yield from machine.notices(machine.keeper())
        if (running := machine.keeper().get("release") or self._release) != self._release:
            facts = {"running": str(running), "installed": self._release, "node": self._identity.name}
            yield Notice(key="keeper-older", facts=facts)

    def _active(self) -> Iterable[GroupName]:
        """The groups that run here. A node whose roles ask for nothing of its own runs nothing in its local group."""
        for name, marker in self._markers.items():
            if marker.stage is Stage.ACTIVE and (name != LOCAL_GROUP or self._local().services):
                yield name

    def _report(self) -> NodeReport:
        volumes = self._volumes.reports()
        broken = [volume.problem for volume in volumes if volume.problem is not None]
        return NodeReport(
            node=self._identity.name,
            release=self._release,
            reported_at=time.time(),
            store_connected=self._connected,
            owned_groups=tuple(sorted(self._active())),
            stopping_groups=tuple(sorted(name for name, m in self._markers.items() if m.stage is Stage.STOPPING)),
            instances=tuple(self._instances[i].report() for i in sorted(self._instances)),
            warnings=(*_distinct((*self._problems, *self._troubles.values(), *broken)), *self._housekeeping.warnings),
            standby=self._standby.reports(
                [each for each, managed in self._instances.items() if not managed.answers],
                machine.standby_volumes(machine.keeper()),
            ),
            volumes=volumes,
            watchdog=machine.watchdog(machine.keeper()),
            clock=self._clock,
            boot_id=machine.boot_id(),
        )


def _write_report(report: NodeReport) -> None:
    """Log lines may name people and their letters: the file for everybody is without them."""
    try:
        write_atomically(FULL_REPORT_FILE, report.model_dump_json(), 0o600)
        write_atomically(REPORT_FILE, report.without_log().model_dump_json())
    except OSError as error:
        log.error("the report was not written: %s", error)


def _distinct(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Each notice once, in order: two groups under one broken setting make one line."""
    return tuple({notice.model_dump_json(): notice for notice in notices}.values())


async def _first(most: Seconds, *events: asyncio.Event) -> None:
    """Return when one of the events is set or `most` seconds have passed."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=most, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
