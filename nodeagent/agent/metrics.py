"""The node's figures for Prometheus, on loopback: what the agent reports and what the keeper says, read when asked for.

They tell nothing of people and their mail, so whoever is on the node may read them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from appliance.clock import boottime
from appliance.cluster.names import NodeName
from appliance.cluster.report import InstanceReport, NodeReport, VolumeCondition
from nodeagent.agent import machine

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

Answers = Mapping[NodeName, bool | None]
_Labelled = TypeVar("_Labelled", bound=tuple[str, ...])


def gauge(name: str, text: str, values: Mapping[_Labelled, float], labels: tuple[str, ...] = ()) -> Metric:
    """A family of gauges by their labels' values."""
    family = GaugeMetricFamily(f"posthouse_{name}", text, labels=labels)
    for labelled, value in values.items():
        family.add_metric(labelled, value)
    return family


def of_instances(instances: tuple[InstanceReport, ...]) -> Iterator[Metric]:
    """Engines and their probes. Pure."""
    label = ("instance",)
    yield gauge("instance_healthy", "1 while it runs and answers", {(i.instance,): i.healthy for i in instances}, label)
    yield gauge("instance_failing", "1 while starts do not help", {(i.instance,): i.failing for i in instances}, label)
    restarts = CounterMetricFamily("posthouse_instance_restarts", "Restarts by systemd", labels=label)
    for each in instances:
        restarts.add_metric((each.instance,), each.restarts)
    yield restarts
    probes = {(i.instance, probe.name): probe for i in instances for probe in i.probes}
    both = ("instance", "probe")
    yield gauge("probe_ok", "1 while the answer is right", {k: bool(p.ok) for k, p in probes.items()}, both)
    yield gauge("probe_seconds", "How long the last good answer took", {k: p.took for k, p in probes.items()}, both)


def of_node(report: NodeReport, peers: Answers) -> Iterator[Metric]:
    """Groups, volumes and the node's surroundings. Pure."""
    group = ("group",)
    yield gauge("group_owned", "1 for each group that runs here", {(g,): 1 for g in report.owned_groups}, group)
    yield gauge("group_stopping", "1 for each that is given up", {(g,): 1 for g in report.stopping_groups}, group)
    ready = {(each.group,): float(each.ready) for each in report.standby}
    yield gauge("standby_ready", "1 while the group could come at once", ready, group)
    well = {(v.group, v.name): float(v.condition is VolumeCondition.WELL) for v in report.volumes}
    yield gauge("volume_well", "1 while the volume takes writes", well, ("group", "volume"))
    yield gauge("store_connected", "1 while the store answers", {(): report.store_connected})
    grave = sum(warning.grave for warning in report.warnings)
    notices = {("yes",): grave, ("no",): len(report.warnings) - grave}
    yield gauge("notices", "What the operator is told", notices, ("grave",))
    answers = {(name,): float(found) for name, found in peers.items() if found is not None}
    yield gauge("peer_answers", "1 while the observed node answers directly", answers, ("node",))
    if report.clock is not None and report.clock.offset is not None:
        yield gauge("clock_offset_seconds", "By the time service's own estimate", {(): report.clock.offset})


def of_keeper(said: Mapping[str, Any], now: float) -> Iterator[Metric]:
    """Session and watchdog; `now` is seconds of CLOCK_BOOTTIME. Pure."""
    renewed = said.get("renewed_boottime")
    if isinstance(renewed, int | float):
        yield gauge("session_age_seconds", "Since the last good renewal was sent", {(): now - renewed})
    if "watchdog_armed" in said:
        yield gauge("watchdog_armed", "1 while silence resets this node", {(): float(bool(said["watchdog_armed"]))})


class Figures(Collector):
    """What one scrape sees; `collect` runs in a thread of the server."""

    def __init__(self, report: Callable[[], NodeReport | None], peers: Callable[[], Answers]) -> None:
        self._report = report
        self._peers = peers

    def collect(self) -> Iterator[Metric]:
        report = self._report()
        if report is not None:
            yield from of_instances(report.instances)
            yield from of_node(report, dict(self._peers()))
        yield from of_keeper(machine.keeper(), boottime())


@dataclass(frozen=True)
class Serving:
    """A server that runs."""

    port: int
    server: WSGIServer
    thread: threading.Thread


def serve(figures: Figures, port: int) -> Serving:
    """Answer on 127.0.0.1. Raises OSError when the port is taken."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(figures)
    server, thread = start_http_server(port, "127.0.0.1", registry)
    return Serving(port, server, thread)


def end(serving: Serving) -> None:
    """Answer no longer; waits for the server's loop, half a second at most."""
    serving.server.shutdown()
    serving.server.server_close()
    serving.thread.join(1.0)
