"""How long clients are without service: SMTP and IMAP, probed every 50 ms, for each kind of change of owner.

Three nodes that share a disk, one group on a virtual address, every node's power switch known to the cluster, timing as
shipped. An outage is the longest gap between two successful probes from the moment of the blow.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench import stage
from tests.bench.figures import Bar, Figure
from tests.bench.report import Report, Section
from tests.lab import Node, wait_until
from tests.lab.cluster import GROUP, Cluster
from tests.lab.fence import FenceDevice
from tests.lab.links import LAB
from tests.load.mail_load import People
from tests.load.outage import OutageWatch, Target

#: Runs of each kind that make it a measurement.
FULL = 10
PEOPLE = People("bench.test", "correct-horse-battery-9")
PROTOCOLS = ("smtp", "imap")


@dataclass(frozen=True)
class Kind:
    """One kind of change. `over` tells when the cluster has done its part. Bars in seconds; 0: none.

    `edge`: clients come through the edge of a node that neither owned the group nor takes it.
    """

    name: str
    blow: Callable[[Cluster, Node], object]
    over: Callable[[Cluster, Node], object]
    protocols: tuple[str, ...] = PROTOCOLS
    median: float | None = None
    most: float = 0.0
    edge: bool = False


def _move(cluster: Cluster, owner: Node) -> None:
    cluster.ask("group", "move", GROUP, cluster.others(owner)[0].name, timeout=60)


def _crash(unit: str) -> Callable[[Cluster, Node], object]:
    return lambda _, owner: owner.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=all", unit)


def _cut_off(cluster: Cluster, owner: Node) -> None:
    cluster.lab.links.cut([owner.number], [*(node.number for node in cluster.others(owner)), LAB])


def _elsewhere(cluster: Cluster, before: Node) -> bool:
    return cluster.owner() not in (None, before)


def _at_once(cluster: Cluster, before: Node) -> bool:
    return True


KINDS = (
    Kind("planned move, clients at the group's address", _move, _elsewhere, most=2.5),
    Kind("planned move, clients at an edge", _move, _elsewhere, ("imap",), median=1.0, edge=True),
    Kind("Postfix killed", _crash(stage.POSTFIX), _at_once, ("smtp",), median=1.0, most=2.0),
    Kind("Dovecot killed", _crash(stage.DOVECOT), _at_once, ("imap",), median=1.0, most=2.0),
    Kind("owner killed, fence confirmed", lambda _, owner: owner.kill(), _elsewhere, median=5.0, most=8.0),
    Kind("owner cut off, fence confirmed", _cut_off, _elsewhere, median=5.0, most=8.0),
)


def measure(rounds: int) -> Report:
    """Every kind so many times."""
    found: dict[tuple[str, str], list[float]] = {}
    with stage.lab() as lab, lab.enter():
        fence = FenceDevice(lab).start()
        cluster = Cluster.build(lab, fence, step=_step)
        cluster.add_people(PEOPLE.domain, PEOPLE.all, PEOPLE.password)
        watch = OutageWatch(Target(cluster.address, PEOPLE.probe, PEOPLE.password)).start()
        try:
            for number in range(1, rounds + 1):
                for kind in KINDS:
                    gaps = _through_edge(cluster, kind) if kind.edge else _one(cluster, watch, kind)
                    told = ", ".join(f"{name} {gap * 1000:.0f} ms" for name, gap in gaps.items())
                    stage.say(f"run {number}: {kind.name}: {told}")
                    for protocol, gap in gaps.items():
                        found.setdefault((kind.name, protocol), []).append(gap)
        finally:
            watch.finish()
            fence.stop()
    return _report(found)


def _step(title: str, action: Callable[[], object]) -> None:
    stage.say(title)
    action()


def _one(cluster: Cluster, watch: OutageWatch, kind: Kind) -> dict[str, float]:
    """One blow; seconds of outage for each protocol that it concerns."""
    owner = cluster.the_owner()
    began = time.monotonic()
    kind.blow(cluster, owner)
    wait_until(kind.name, lambda: kind.over(cluster, owner), timeout=60, every=0.02, explain=cluster.last_words)
    watch.wait_served(time.monotonic())
    cluster.mend()
    cluster.wait_whole()
    return {protocol: watch.outage(protocol, began) for protocol in kind.protocols}


def _through_edge(cluster: Cluster, kind: Kind) -> dict[str, float]:
    """The same with probes of its own through an edge."""
    edge = cluster.others(cluster.the_owner())[1]
    watch = OutageWatch(Target(cluster.address, PEOPLE.probe, PEOPLE.password, imap_host=str(edge.address))).start()
    try:
        return _one(cluster, watch, kind)
    finally:
        watch.finish()


def _report(found: dict[tuple[str, str], list[float]]) -> Report:
    report = Report("Failover: what clients see")
    rows = []
    for kind in KINDS:
        for protocol in kind.protocols:
            gaps = found[kind.name, protocol]
            median, most = statistics.median(gaps), max(gaps)
            name = f"{kind.name}: {protocol.upper()}"
            rows.append([name, str(len(gaps)), f"{median:.2f}", f"{most:.2f}"])
            bar = Bar("<=", kind.median) if kind.median else None
            report.figures.append(Figure(f"{name}, p50", median, "s", bar))
            report.figures.append(Figure(f"{name}, max", most, "s", Bar("<=", kind.most) if kind.most else None))
    header = ["outage", "runs", "p50 (s)", "max (s)"]
    notes = ["", "Probed every 50 ms, so a figure is at most that much too long."]
    report.sections.append(Section("What clients are without, from the last answer to the next", header, rows, notes))
    return report
