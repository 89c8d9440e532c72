"""The controller's figures for Prometheus, on loopback: read when they are asked for, nothing is kept beside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.controller import Controller


class Figures(Collector):
    """What one scrape sees."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def collect(self) -> Iterator[Metric]:
        """Called by the registry in a thread of the server."""
        controller = self._controller
        leads = controller.epoch is not None
        yield GaugeMetricFamily("posthouse_controller_leads", "1 while this controller leads", value=float(leads))
        goals = list(controller.placing.goals.values()) if leads else []
        placed = sum(goal is not None for goal in goals)
        yield GaugeMetricFamily("posthouse_groups_placed", "Groups that have a node, by the leader", value=placed)
        yield GaugeMetricFamily("posthouse_groups_nowhere", "Groups that have none", value=len(goals) - placed)
        waiting = sum(len(groups) for groups in list(controller.failover.waiting.values())) if leads else 0
        yield GaugeMetricFamily(
            "posthouse_groups_waiting_for_operator", "Groups that wait for an acknowledgement", value=waiting
        )
        yield GaugeMetricFamily(
            "posthouse_moves_stuck", "Moves that take too long", value=len(controller.patience.stuck)
        )
        granted = CounterMetricFamily(
            "posthouse_grants", "Groups granted by this controller, by basis", labels=["basis"]
        )
        for basis, count in sorted(controller.failover.takeovers.items()):
            granted.add_metric([basis.value], count)
        yield granted


@dataclass(frozen=True)
class Metrics:
    """A server that runs."""

    port: int
    server: WSGIServer
    thread: threading.Thread

    def close(self) -> None:
        """Answer no longer."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(1.0)


def serve(controller: Controller, port: int) -> Metrics:
    """Answer on 127.0.0.1. Raises OSError when the port is taken."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(controller))
    server, thread = start_http_server(port, "127.0.0.1", registry)
    return Metrics(port, server, thread)
