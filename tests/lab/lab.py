"""A lab: a network with nodes on it, registered so that nothing is left behind after a crash.

`/run/posthouse-lab/ID/lab.json` says who owns the lab and where its nodes' disks
are. Whoever makes a lab first removes those whose owner has died.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.lab import network, rootfs
from tests.lab.disk import SharedDisk
from tests.lab.host import BUILD, LabError, Process, require_root
from tests.lab.links import Links
from tests.lab.node import Node

REGISTRY = Path("/run/posthouse-lab")
LABS = BUILD / "labs"


class Lab:
    """A running lab. Make one with `Lab.create()` or `with Lab.opened() as lab`; find one with `Lab.attach(name)`."""

    def __init__(self, name: str, owner: Process, folder: Path, lowers: Sequence[Path]) -> None:
        self.name = name
        self.owner = owner
        self.folder = folder
        self.lowers = tuple(lowers)
        self.nodes: dict[str, Node] = {}
        self.disks: dict[str, SharedDisk] = {}
        self.links = Links(self.namespace)

    # -- making and ending ------------------------------------------------------------------------------------

    @classmethod
    def create(cls, name: str | None = None) -> Lab:
        """Make a lab that this process owns. `name` (lower case, short) defaults to a random one.

        Raises LabError when a lab of that name runs, when there is no root filesystem, or without root.
        """
        require_root()
        remove_stale()
        name = name or secrets.token_hex(3)
        owner = Process.of(os.getpid())
        assert owner is not None
        lab = cls(name, owner, rootfs.writable_folder(LABS) / name, rootfs.layers())
        try:
            (REGISTRY / name).mkdir(parents=True, mode=0o755)
        except FileExistsError:
            raise LabError(f"a lab named {name} runs already") from None
        lab.save()
        try:
            lab.folder.mkdir(parents=True)
            network.create_bridge(lab.namespace)
        except BaseException:
            lab.close()
            raise
        return lab

    @classmethod
    @contextmanager
    def opened(cls, name: str | None = None) -> Iterator[Lab]:
        """A lab for the block."""
        lab = cls.create(name)
        try:
            yield lab
        finally:
            lab.close()

    @classmethod
    def attach(cls, name: str) -> Lab:
        """The lab of that name, made by another process. Raises LabError when there is none."""
        try:
            facts = json.loads((REGISTRY / name / "lab.json").read_text())
        except FileNotFoundError:
            raise LabError(f"no lab named {name} runs; running: {', '.join(names()) or 'none'}") from None
        lab = cls(name, Process(*facts["owner"]), Path(facts["folder"]), [Path(each) for each in facts["lowers"]])
        for node_name, number in facts["nodes"].items():
            lab.nodes[node_name] = Node(lab, node_name, number, facts.get("options", {}).get(node_name, ()))
        for disk_name, (image, loops) in facts.get("disks", {}).items():
            lab.disks[disk_name] = SharedDisk(disk_name, Path(image), loops)
        return lab

    def save(self) -> None:
        """Write what others need to know of it."""
        facts: dict[str, Any] = {
            "owner": [self.owner.pid, self.owner.started],
            "folder": str(self.folder),
            "lowers": [str(each) for each in self.lowers],
            "nodes": {node.name: node.number for node in self.nodes.values()},
            "options": {node.name: node.options for node in self.nodes.values()},
            "disks": {disk.name: [str(disk.image), disk.loops] for disk in self.disks.values()},
        }
        target = REGISTRY / self.name / "lab.json"
        draft = target.with_suffix(".new")
        draft.write_text(json.dumps(facts))
        draft.replace(target)

    def hand_over(self, owner: Process) -> None:
        """Let the lab live as long as `owner`, instead of as long as this process."""
        self.owner = owner
        self.save()

    def close(self) -> None:
        """End every node and remove everything."""
        for node in self.nodes.values():
            node.remove()
        for disk in self.disks.values():
            disk.remove()
        network.remove(self.namespace)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(REGISTRY / self.name, ignore_errors=True)

    # -- using it ---------------------------------------------------------------------------------------------

    @property
    def machine(self) -> str:
        """The prefix of its nodes' machine, namespace and control group names."""
        return f"posthouse-lab-{self.name}"

    @property
    def namespace(self) -> str:
        """The network namespace with the bridge."""
        return self.machine

    def node(self, name: str, *, options: Sequence[str] = ()) -> Node:
        """Add a node (not booted yet). `options` go to systemd-nspawn."""
        if name in self.nodes:
            raise LabError(f"there is a node {name} already")
        node = Node(self, name, 1 + max((each.number for each in self.nodes.values()), default=0), options)
        self.nodes[name] = node
        self.save()
        node.prepare()
        self._tell_hosts()
        return node

    def disk(self, name: str, *, megabytes: int = 512) -> SharedDisk:
        """Add a disk that the lab's nodes can share; `SharedDisk.attach` gives it to a node before that boots."""
        disk = SharedDisk(name, self.folder / "disks" / f"{name}.img")
        self.disks[name] = disk
        self.save()
        disk.make(megabytes)
        return disk

    def remove_disk(self, disk: SharedDisk) -> None:
        """Free a disk whose nodes have ended."""
        disk.remove()
        disk.image.unlink(missing_ok=True)
        del self.disks[disk.name]
        self.save()

    def remove_node(self, node: Node) -> None:
        """End a node and remove it with its disk."""
        node.remove()
        for disk in self.disks.values():
            disk.detach(node.name)
        shutil.rmtree(node.folder, ignore_errors=True)
        del self.nodes[node.name]
        self.save()

    def _tell_hosts(self) -> None:
        """Let every node know every other by name."""
        hosts = "127.0.0.1 localhost\n::1 localhost\n"
        hosts += "".join(f"{node.address} {node.hostname} {node.name}\n" for node in self.nodes.values())
        for node in self.nodes.values():
            if node.running:
                (node.root / "etc/hosts").write_text(hosts)
            else:
                node.put_offline("etc/hosts", hosts)

    def enter(self) -> AbstractContextManager[None]:
        """Move the calling thread onto the lab's network for the block: sockets then reach the nodes' addresses."""
        return network.entered(self.namespace)


def names() -> list[str]:
    """The labs that are registered."""
    return sorted(path.parent.name for path in REGISTRY.glob("*/lab.json"))


def lowers_in_use() -> set[Path]:
    """The layers that some lab stands on."""
    return {lower for name in names() for lower in Lab.attach(name).lowers}


def remove_stale() -> None:
    """Remove labs whose owner has died, and disks that belong to no lab."""
    REGISTRY.mkdir(exist_ok=True)
    with (REGISTRY / "removing").open("w") as lock:  # test workers start, and find the same remains, together
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_stale()


def _remove_stale() -> None:
    for name in names():
        with suppress(LabError, FileNotFoundError):
            lab = Lab.attach(name)
            if not lab.owner.alive:
                lab.close()
    for folder in LABS.glob("*"):
        if not (REGISTRY / folder.name).exists():
            shutil.rmtree(folder, ignore_errors=True)
