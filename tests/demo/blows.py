"""`./run demo kill|freeze|partition|move|heal`: what anyone may do to the demo, and what clients felt of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from tests.demo.state import State
from tests.lab import LabError, Node, wait_until
from tests.lab.cluster import GROUP, Cluster
from tests.lab.links import LAB
from tests.load.outage import OutageWatch, Target

#: Seconds for which service must have gone on before a blow that moved nothing is called harmless.
_SETTLED = 4.0


class Usage(LabError):
    """The words mean nothing."""


def strike(cluster: Cluster, state: State, words: list[str]) -> None:
    """Do what the words say and tell the outage that clients saw. Raises Usage for other words."""
    match words:
        case ["heal"]:
            heal(cluster)
        case ["move", group, name]:
            if group != GROUP:
                raise LabError(f"there is one group: {GROUP}")
            target, owner = node_of(cluster, name), cluster.owner()
            move = partial(cluster.ask, "group", "move", group, name)
            felt(cluster, state, f"moving {group} to {name}", move, moves=owner is not target)
        case ["kill" | "freeze" | "partition" as what, name]:
            node = node_of(cluster, name)
            blow = partial(BLOWS[what], cluster, node)
            felt(cluster, state, f"{what} {name}", blow, moves=cluster.owner() is node)
        case _:
            raise Usage("usage: ./run demo [stop|status|kill NODE|freeze NODE|partition NODE|heal|move GROUP NODE]")


def node_of(cluster: Cluster, name: str) -> Node:
    """A node that runs. Raises LabError for any other name."""
    node = cluster.lab.nodes.get(name)
    if node is None or not node.running:
        raise LabError(f"no node {name} runs; nodes: {', '.join(each.name for each in cluster.nodes)}")
    return node


def _partition(cluster: Cluster, node: Node) -> None:
    cluster.lab.links.cut([node.number], [*(each.number for each in cluster.others(node)), LAB])


BLOWS: dict[str, Callable[[Cluster, Node], object]] = {
    "kill": lambda _, node: node.kill(),
    "freeze": lambda _, node: node.freeze(),
    "partition": _partition,
}


def felt(cluster: Cluster, state: State, title: str, blow: Callable[[], object], *, moves: bool) -> None:
    """Strike while probing every 50 ms, and print for how long SMTP and IMAP did not answer."""
    before = cluster.owner()
    watch = OutageWatch(Target(cluster.address, state.probe.address, state.probe.password)).start()
    try:
        began = time.monotonic()
        print(f"  {title} …", flush=True)
        blow()
        if moves:
            other = "another node owns the group"
            wait_until(other, lambda: cluster.owner() not in (None, before), timeout=60, every=0.02)
            watch.wait_served(time.monotonic())
        else:
            wait_until("time has passed", lambda: time.monotonic() > began + _SETTLED, timeout=_SETTLED + 1)
            watch.wait_served(began)
    finally:
        watch.finish()
    owner = cluster.owner()
    for protocol in ("smtp", "imap"):
        print(f"  {protocol.upper()}: clients had no answer for {watch.outage(protocol, began) * 1000:.0f} ms")
    print(f"  {GROUP} is on {owner.name if owner else 'no node'}" + ("" if moves else ", as before"))


def heal(cluster: Cluster) -> None:
    """Take every blow away and wait until the cluster is whole."""
    began = time.monotonic()
    cluster.mend()
    cluster.wait_whole()
    print(f"  links are whole, every node runs, the cluster is whole after {time.monotonic() - began:.1f} s")
