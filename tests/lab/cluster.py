"""A cluster of lab nodes as the fault suite, the bench and the demo use it: shared disk, virtual address, power switch.

Everything is made by the commands that an operator types. What it tells of the cluster (`owner`) it asks the kernel.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.lab.appliance import create_domain, create_mailbox, initialise, initialise_cluster, join
from tests.lab.disk import SharedDisk
from tests.lab.fence import AGENT, FenceDevice
from tests.lab.host import CommandFailed, LabError
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.polling import wait_until

GROUP = "mail"
#: The group's virtual address.
ADDRESS = "10.57.0.100"
NAMES = ("mail1", "mail2", "mail3")

Step = Callable[[str, Callable[[], object]], None]


def _quietly(title: str, action: Callable[[], object]) -> None:
    action()


@dataclass
class Cluster:
    """Nodes that share a disk and serve one group."""

    lab: Lab
    nodes: tuple[Node, ...]
    disk: SharedDisk
    fence: FenceDevice
    address: str = ADDRESS

    @classmethod
    def build(cls, lab: Lab, fence: FenceDevice, names: Sequence[str] = NAMES, step: Step = _quietly) -> Cluster:
        """Boot the nodes and make them a cluster; return when the group serves. `step` tells what is done."""
        disk = lab.disk("volume", megabytes=1024)
        nodes = tuple(lab.node(name) for name in names)
        for node in nodes:
            for each in lab.disks.values():  # also what the caller has made before
                each.attach(node)
            fence.attach(node)
        made = cls(lab, nodes, disk, fence)
        step(f"booting {len(nodes)} nodes", made._boot)
        first, *others = nodes
        step("posthouse init", partial(initialise, first))
        step("posthouse cluster init", partial(initialise_cluster, [first]))
        for node in others:
            step(f"posthouse cluster join ({node.name})", partial(join, first, node))
        for node in nodes:
            made.set_fence(node)
        step("posthouse group set mail: the shared volume and an address", made._share)
        step("waiting until everybody is well", made.wait_whole)
        return made

    def _boot(self) -> None:
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_booted()

    def set_fence(self, node: Node) -> None:
        """Say how the node is fenced, by the operators' command."""
        words = dict(self.fence.parameters(node.name))
        secret = words.pop("password")
        given = [word for name, value in words.items() for word in ("--parameter", f"{name}={value}")]
        line = ("posthouse", "node", "set-fence", node.name, "--agent", AGENT, *given, "--secrets-stdin")
        self.nodes[0].run(*line, input=f"password={secret}\n")

    def _share(self) -> None:
        candidates = [word for node in self.nodes for word in ("--candidate", node.name)]
        self.ask("group", "stop", GROUP)
        volume = ("--volume", f"block:{self.disk.device}", "--address", self.address)
        self.ask("group", "set", GROUP, *volume, *candidates)
        self.ask("group", "start", GROUP, timeout=120)

    def add_people(self, domain: str, addresses: Sequence[str], password: str) -> None:
        """Create a domain and mailboxes."""
        node = self.answering()
        create_domain(node, domain)
        for address in addresses:
            create_mailbox(node, address, password)

    # -- what is -----------------------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        """The node of that name."""
        return self.lab.nodes[name]

    def owner(self) -> Node | None:
        """Who has the volume mounted, by the kernel's word."""
        return next((node for node in self.nodes if self.disk.is_mounted_on(node.name)), None)

    def the_owner(self) -> Node:
        """Who has the volume mounted. Raises LabError when nobody has."""
        owner = self.owner()
        if owner is None:
            raise LabError(f"nobody has {self.disk.name} mounted")
        return owner

    def others(self, than: Node) -> list[Node]:
        """Every other node."""
        return [node for node in self.nodes if node is not than]

    def status(self) -> Mapping[str, Any]:
        """What `posthouse cluster status --json` says on the first node that answers; empty when none does."""
        for node in self.nodes:
            if node.running:
                with suppress(subprocess.TimeoutExpired, LabError, ValueError):
                    said = node.run("posthouse", "cluster", "status", "--json", check=False, timeout=6).stdout
                    if said.strip():
                        report: dict[str, Any] = json.loads(said)
                        return report
        return {}

    def answering(self) -> Node:
        """A node on which operators' commands work now."""
        for node in self.nodes:
            if node.running:
                with suppress(subprocess.TimeoutExpired, CommandFailed):
                    node.run("posthouse", "group", "list", timeout=6)
                    return node
        raise LabError("on no node do commands work")

    def ask(self, *words: str, timeout: float = 60.0) -> str:
        """Run `posthouse WORDS` on a node that answers; return what it said. Raises CommandFailed."""
        return self.answering().run("posthouse", *words, timeout=timeout).stdout

    def leader(self) -> Node:
        """The node whose controller leads. Raises LabError when nobody does."""
        name = self.status().get("leader")
        if not name:
            raise LabError("nobody leads")
        return self.node(name)

    def is_whole(self) -> bool:
        """Every node alive, every group active, by the cluster's own word, and mounted by the kernel's."""
        return bool(self.status().get("healthy")) and self.owner() is not None

    def wait_whole(self, *, timeout: float = 120.0) -> None:
        """Wait until the cluster is whole; what it says and its events are the explanation when it is not."""
        wait_until("the cluster is whole", self.is_whole, timeout=timeout, every=0.3, explain=self.last_words)

    def recover(self, *, timeout: float = 180.0) -> None:
        """Wait until the cluster is whole. Whoever is switched off meanwhile (a late fence) is switched on again."""

        def whole() -> bool:
            for node in self.nodes:
                node.switch_on()
            return self.is_whole()

        wait_until("the cluster is whole again", whole, timeout=timeout, every=0.3, explain=self.last_words)

    def last_words(self) -> str:
        """What the cluster's screen and events say, and each node's last journal lines."""
        said = []
        with suppress(LabError, subprocess.TimeoutExpired):
            node = self.answering()
            for words in (("cluster", "status"), ("events",)):
                said.append(node.run("posthouse", *words, check=False).stdout)
        said += [f"-- {node.name}\n{_own_words(node)}" for node in self.nodes]
        return "\n".join(said)

    # -- mending -----------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """Take every fault of the lab away: links, switch, disk, frozen and dead nodes."""
        self.lab.links.heal()
        self.fence.modes.clear()
        for node in self.nodes:
            self.disk.release(node.name)
            if node.running:
                node.plug()
                with suppress(LookupError):  # a late fence has just switched it off
                    node.thaw()
            node.switch_on()
        for node in self.nodes:
            _boot_to_the_end(node)


def _boot_to_the_end(node: Node) -> None:
    """A fence that is tried again may meet the node while it boots: then it is switched on once more."""
    for last in (False, False, True):
        node.switch_on()
        try:
            node.wait_booted()
            return
        except LabError:
            if last or node.running:
                raise


def _own_words(node: Node) -> str:
    """The last lines of what Posthouse's own services said; etcd alone would fill the screen."""
    try:
        return "\n".join(line[:300] for line in _journals(node).splitlines()[-25:])
    except (LabError, subprocess.TimeoutExpired) as error:
        return f"(no journal: {error})"


def _journals(node: Node) -> str:
    if not node.running:
        return node.last_words(25)
    units = [f"--unit=posthouse-{part}.service" for part in ("keeper", "agent", "controller")]
    return node.run("journalctl", "--no-pager", "--output=short-precise", "--lines=25", *units, timeout=10).stdout
