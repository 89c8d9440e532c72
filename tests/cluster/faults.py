"""Everything that is done to a cluster to see whether it survives: one table for the suite and the random walk.

A fault strikes, lasts, and is mended by `Cluster.mend` and its own `undo`. It says what must become of the group.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from tests.lab import LabError, Node, wait_until
from tests.lab.cluster import Cluster
from tests.lab.fence import Mode
from tests.lab.host import CommandFailed
from tests.lab.links import LAB

AGENT = "posthouse-agent.service"
KEEPER = "posthouse-keeper.service"
CONTROLLER = "posthouse-controller.service"
ETCD = "posthouse-etcd@local.service"
POSTFIX = "posthouse-postfix@mail.service"
DOVECOT = "posthouse-dovecot@mail.service"
SLAPD = "posthouse-slapd@local.service"

Undo = Callable[[], object]


class Fate(Enum):
    """What becomes of the group while the fault lasts."""

    #: Its owner goes on serving.
    STAYS = "stays"
    #: Another node takes it.
    MOVES = "moves"
    #: It stays or moves, as it comes; what counts is that it serves again.
    EITHER = "either"
    #: Nobody may serve it until the fault is over, and the cluster says why.
    DOWN = "down"


@dataclass(frozen=True)
class Fault:
    """`strike` does it and returns what undoes it. `lasts`, seconds. `slow`: not in CI, but by hand and in walks."""

    name: str
    strike: Callable[[Cluster], Undo]
    fate: Fate
    lasts: float = 8.0
    slow: bool = False


def _nothing() -> None:
    """Nothing is to be undone beyond what `Cluster.mend` does."""


# -- processes -------------------------------------------------------------------------------------------------


def kill(node: Node, unit: str) -> Undo:
    """SIGKILL every process of a unit at once."""
    node.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=all", unit)
    return _nothing


def freeze(node: Node, unit: str) -> Undo:
    """SIGSTOP every process of a unit, as if it hung; what undoes it lets them go on."""
    node.run("systemctl", "kill", "--signal=SIGSTOP", "--kill-who=all", unit)

    def thaw() -> None:
        with suppress(CommandFailed, LabError):  # it was replaced, or the node was switched off
            node.run("systemctl", "kill", "--signal=SIGCONT", "--kill-who=all", unit)

    return thaw


def etcd_leader(cluster: Cluster) -> Node:
    """The node whose etcd leads. Raises LabError when none does."""
    for node in cluster.nodes:
        if node.running:
            said = node.run("sh", "-c", f"{ETCDCTL} endpoint status --write-out=fields", check=False).stdout
            facts = dict(line.split(" : ") for line in said.splitlines() if " : " in line)
            if facts.get('"Leader"') == facts.get('"MemberID"') is not None:
                return node
    raise LabError("no etcd leads")


ETCDCTL = (
    "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/posthouse/pki/ca.crt "
    "--cert=/etc/posthouse/pki/node.crt --key=/etc/posthouse/pki/node.key"
)


def etcd_follower(cluster: Cluster) -> Node:
    """A node that does not own the group and whose etcd does not lead."""
    leader, owner = etcd_leader(cluster), cluster.the_owner()
    return next(node for node in cluster.nodes if node not in (leader, owner))


# -- nodes and links -------------------------------------------------------------------------------------------


def _numbers(nodes: Sequence[Node]) -> list[int]:
    return [node.number for node in nodes]


def a_standby(cluster: Cluster) -> Node:
    """A node that does not own the group."""
    return cluster.others(cluster.the_owner())[0]


def cut_off(cluster: Cluster, node: Node, *, from_clients: bool = True) -> Undo:
    """Nothing passes between a node and the others."""
    cluster.lab.links.cut([node.number], _numbers(cluster.others(node)) + [LAB] * from_clients)
    return _nothing


def mute(cluster: Cluster, node: Node) -> Undo:
    """What the node sends reaches no other node; it hears them all."""
    cluster.lab.links.cut([node.number], _numbers(cluster.others(node)), one_way=True)
    return _nothing


def deafen(cluster: Cluster, node: Node) -> Undo:
    """Nothing of the other nodes reaches the node; they hear it."""
    cluster.lab.links.cut(_numbers(cluster.others(node)), [node.number], one_way=True)
    return _nothing


def shatter(cluster: Cluster) -> Undo:
    """Every node is alone; clients reach them all."""
    cluster.lab.links.cut(_numbers(cluster.nodes), _numbers(cluster.nodes))
    return _nothing


def flap(cluster: Cluster, every: float) -> Undo:
    """The owner's link comes and goes."""
    owner = cluster.the_owner()
    flapping = cluster.lab.links.flapping([owner.number], _numbers(cluster.others(owner)), every=every)
    flapping.__enter__()
    return lambda: flapping.__exit__(None, None, None)


def freeze_node(cluster: Cluster, node: Node) -> Undo:
    """Every process of the node stands still. It may have been switched off when it is thawed."""
    node.freeze()
    return _nothing


def stall(cluster: Cluster, seconds: float) -> Undo:
    """The owner stands still for a moment and goes on, as a virtual machine does that is moved."""
    owner = cluster.the_owner()
    owner.freeze()
    until = time.monotonic() + seconds
    wait_until("the moment is over", lambda: time.monotonic() >= until, every=0.01)
    owner.thaw()
    return _nothing


def end_node(node: Node) -> Undo:
    """The node loses its power; `Cluster.mend` starts it again."""
    node.kill()
    return _nothing


def lose_with(mode: Mode, strike: Callable[[Cluster, Node], Undo]) -> Callable[[Cluster], Undo]:
    """The owner is lost while its power switch behaves like that."""

    def both(cluster: Cluster) -> Undo:
        owner = cluster.the_owner()
        cluster.fence.modes[owner.name] = mode
        return strike(cluster, owner)

    return both


def lose_quorum(cluster: Cluster) -> Undo:
    """Two of three members of the store hang."""
    undos = [freeze(node, ETCD) for node in cluster.nodes[1:]]

    def undo() -> None:
        for each in undos:
            each()

    return undo


def keep_without_quorum(cluster: Cluster) -> Undo:
    """Two of three members of the store hang, and so does whatever the agents start instead of them."""
    undos = [hang_for_good(node, ETCD) for node in cluster.nodes[1:]]

    def undo() -> None:
        for each in undos:
            each()

    return undo


def hang_for_good(node: Node, unit: str) -> Undo:
    """A unit's processes hang, and its next ones do nothing."""
    folder = f"/etc/systemd/system/{unit}.d"
    idle = "[Service]\\nExecStart=\\nExecStart=/bin/sleep infinity\\n"
    node.run("sh", "-c", f"mkdir -p {folder} && printf '{idle}' >{folder}/idle.conf && systemctl daemon-reload")
    freeze(node, unit)

    def end() -> None:
        with suppress(CommandFailed, LabError):  # the node was switched off
            node.run(
                "sh", "-c", f"rm -rf {folder}; systemctl daemon-reload; systemctl kill -s KILL --kill-who=all {unit}"
            )

    return end


# -- volume and services ---------------------------------------------------------------------------------------


def hang_volume(cluster: Cluster) -> Undo:
    """Every write of the owner waits for ever."""
    owner = cluster.the_owner()
    cluster.disk.hang(owner)
    return lambda: cluster.disk.release(owner.name)


def break_volume(cluster: Cluster) -> Undo:
    """The owner's file system goes read-only."""
    cluster.disk.break_on(cluster.the_owner())
    return _nothing


def fill_volume(cluster: Cluster) -> Undo:
    """No block of the volume is free."""
    cluster.disk.fill(cluster.the_owner())

    def empty() -> None:
        owner = cluster.owner()
        if owner:
            (cluster.disk.path_on(owner) / "filler").unlink(missing_ok=True)

    return empty


def crash_loop(cluster: Cluster, unit: str = DOVECOT) -> Undo:
    """A service of the owner ends as soon as it starts."""
    owner = cluster.the_owner()
    folder = f"/etc/systemd/system/{unit}.d"
    owner.run(
        "sh", "-c",
        f"mkdir -p {folder} && printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >{folder}/broken.conf && "
        f"systemctl daemon-reload && systemctl kill -s KILL {unit}",
    )  # fmt: skip

    def mend() -> None:
        with suppress(LabError):
            owner.run("sh", "-c", f"rm -rf {folder}; systemctl daemon-reload; systemctl reset-failed {unit}; true")
            owner.run("posthouse", "service", "restart", unit.removeprefix("posthouse-").removesuffix(".service"))

    return mend


def push_nonsense(cluster: Cluster) -> Undo:
    """A setting that an engine's checker refuses reaches the store past our own checks."""
    key = "/posthouse/v1/desired/settings/system/-/smtp.message_size_limit"
    node = cluster.answering()
    node.run("sh", "-c", f"{ETCDCTL} put {key} '\"a lot\"'")
    return lambda: node.run("sh", "-c", f"{ETCDCTL} del {key}")


# -- the table -------------------------------------------------------------------------------------------------


def _on_owner(action: Callable[[Node, str], Undo], unit: str) -> Callable[[Cluster], Undo]:
    return lambda cluster: action(cluster.the_owner(), unit)


def _on(chosen: Callable[[Cluster], Node], action: Callable[[Node, str], Undo], unit: str) -> Callable[[Cluster], Undo]:
    return lambda cluster: action(chosen(cluster), unit)


FAULTS: tuple[Fault, ...] = (
    Fault("owner killed", lambda cluster: end_node(cluster.the_owner()), Fate.MOVES, lasts=12),
    Fault("owner frozen", lambda cluster: freeze_node(cluster, cluster.the_owner()), Fate.MOVES, lasts=12, slow=True),
    Fault("owner stalls for a second", lambda cluster: stall(cluster, 1.0), Fate.STAYS, lasts=4),
    Fault("owner stalls beyond its deadline", lambda cluster: stall(cluster, 6.0), Fate.EITHER, lasts=10, slow=True),
    Fault("owner cut off", lambda cluster: cut_off(cluster, cluster.the_owner()), Fate.MOVES, lasts=12, slow=True),
    Fault(
        "owner cut off from the nodes, not from clients",
        lambda cluster: cut_off(cluster, cluster.the_owner(), from_clients=False), Fate.MOVES, lasts=12,
    ),
    Fault("owner mute", lambda cluster: mute(cluster, cluster.the_owner()), Fate.EITHER, lasts=12, slow=True),
    Fault("owner deaf", lambda cluster: deafen(cluster, cluster.the_owner()), Fate.EITHER, lasts=12, slow=True),
    Fault("owner's link flaps fast", lambda cluster: flap(cluster, 0.4), Fate.EITHER, lasts=10, slow=True),
    Fault("owner's link flaps", lambda cluster: flap(cluster, 2.5), Fate.EITHER, lasts=15, slow=True),
    Fault("every node alone", shatter, Fate.DOWN, lasts=12),
    Fault("a standby killed", lambda cluster: end_node(a_standby(cluster)), Fate.STAYS, slow=True),
    Fault("a standby cut off", lambda cluster: cut_off(cluster, a_standby(cluster)), Fate.STAYS, slow=True),
    Fault("agent killed", _on_owner(kill, AGENT), Fate.STAYS, lasts=4, slow=True),
    Fault("agent hung", _on_owner(freeze, AGENT), Fate.EITHER, slow=True),
    Fault("keeper killed", _on_owner(kill, KEEPER), Fate.STAYS, lasts=4, slow=True),
    Fault("keeper hung", _on_owner(freeze, KEEPER), Fate.MOVES, lasts=20),
    Fault("leading controller killed", _on(Cluster.leader, kill, CONTROLLER), Fate.STAYS, slow=True),
    Fault("leading controller hung", _on(Cluster.leader, freeze, CONTROLLER), Fate.STAYS, lasts=12, slow=True),
    Fault("store member killed", _on(etcd_follower, kill, ETCD), Fate.STAYS, slow=True),
    Fault("store member hung", _on(etcd_follower, freeze, ETCD), Fate.STAYS, slow=True),
    Fault("store leader killed", _on(etcd_leader, kill, ETCD), Fate.STAYS, slow=True),
    Fault("store leader hung", _on(etcd_leader, freeze, ETCD), Fate.EITHER, lasts=12),
    Fault("store without quorum", lose_quorum, Fate.DOWN, lasts=12, slow=True),
    Fault("store without quorum for a minute", keep_without_quorum, Fate.DOWN, lasts=60, slow=True),
    Fault("Postfix killed", _on_owner(kill, POSTFIX), Fate.STAYS, lasts=4, slow=True),
    Fault("Postfix hung", _on_owner(freeze, POSTFIX), Fate.STAYS, slow=True),
    Fault("Dovecot killed", _on_owner(kill, DOVECOT), Fate.STAYS, lasts=4, slow=True),
    Fault("Dovecot hung", _on_owner(freeze, DOVECOT), Fate.STAYS, slow=True),
    Fault("directory killed", _on_owner(kill, SLAPD), Fate.STAYS, lasts=4, slow=True),
    Fault("directory hung", _on_owner(freeze, SLAPD), Fate.STAYS, slow=True),
    Fault(
        "owner killed, switch refuses", lose_with(Mode.REFUSES, lambda _, node: end_node(node)), Fate.DOWN, lasts=20,
        slow=True,
    ),
    Fault(
        "owner cut off, switch hangs", lose_with(Mode.HANGS, cut_off), Fate.DOWN, lasts=20, slow=True,
    ),
    Fault("owner cut off, switch lies", lose_with(Mode.LIES, cut_off), Fate.DOWN, lasts=20, slow=True),
    Fault("owner frozen, switch says it failed", lose_with(Mode.UNSURE, freeze_node), Fate.MOVES, lasts=20, slow=True),
    Fault("volume read-only", break_volume, Fate.EITHER, lasts=12, slow=True),
    Fault("volume full", fill_volume, Fate.EITHER, slow=True),
    Fault("volume hangs", hang_volume, Fate.MOVES, lasts=25, slow=True),
    Fault("Dovecot crashes again and again", crash_loop, Fate.EITHER, lasts=25, slow=True),
    Fault("wrong configuration", push_nonsense, Fate.STAYS, slow=True),
)  # fmt: skip


def walk(seed: int) -> Iterator[Fault]:
    """An endless walk over the faults; the same seed, the same walk."""
    chance = random.Random(seed)
    while True:
        yield chance.choice(FAULTS)
