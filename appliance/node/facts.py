"""Everything about the node, gathered at once (H20-H24)."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.node import boots, clock, hardware, jobs, network, storage


@dataclass(frozen=True)
class NodeFacts:
    """What `posthouse node show` tells."""

    system: hardware.System
    machine: hardware.Machine
    clock: clock.Clock
    memory: hardware.Memory
    file_systems: tuple[storage.FileSystem, ...]
    interfaces: tuple[network.Interface, ...]
    timers: tuple[jobs.TimerJob, ...]
    cron_jobs: tuple[jobs.CronJob, ...]
    boot: boots.Boot


def gather() -> NodeFacts:
    """Read all facts of this node; takes a fraction of a second, and a few seconds at most."""
    return NodeFacts(
        system=hardware.system(),
        machine=hardware.machine(),
        clock=clock.read(),
        memory=hardware.memory(),
        file_systems=storage.file_systems(),
        interfaces=network.interfaces(),
        timers=jobs.timers(),
        cron_jobs=jobs.cron_jobs(),
        boot=boots.boot(),
    )
