"""A volume that hangs under its owner: processes that no signal ends, and what goes away all the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

import pytest

from appliance.cluster.model import ServiceGroup, VolumeDriver, VolumeSpec
from appliance.cluster.names import NodeName
from nodeagent.resources.addresses import present
from nodeagent.resources.cgroups import group_slice
from tests.integration.etcd_server import EtcdServer
from tests.integration.keepers.conftest import ONE, TWO
from tests.integration.keepers.stage import SHARED, Controller, KeeperNode
from tests.lab.polling import wait_until

Make: TypeAlias = Callable[[NodeName], KeeperNode]
ADDRESS = ip_address("10.94.61.7")
VOLUME = "/srv/posthouse/shared"


@pytest.fixture
def link() -> Iterator[None]:
    """A network on which the group's address can be."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    name = f"ph{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "10.94.61.1/24", "dev", name], check=True)
        for each in (name, f"{name}p"):
            subprocess.run(["ip", "link", "set", each, "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "link", "del", name], check=False)


class Hanging:
    """The volume of a node, as a disk that takes no write any more, and an engine that waits for it."""

    def __init__(self, node: KeeperNode) -> None:
        assert node.machine is not None
        self._enter = ["nsenter", "--mount", f"--target={node.machine.pid}"]
        self.engine = subprocess.Popen(
            [*self._enter, "sh", "-c", f"read go; exec touch {VOLUME}/letter"], stdin=subprocess.PIPE
        )
        node.engines.append(self.engine)
        folder = node.cgroup / "posthouse.slice" / group_slice(SHARED)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text(str(self.engine.pid))

    def freeze(self) -> None:
        """From now on; the engine begins to write."""
        subprocess.run([*self._enter, "fsfreeze", "--freeze", VOLUME], check=True)
        assert self.engine.stdin is not None
        with self.engine.stdin:
            self.engine.stdin.write(b"go\n")
        wait_until("the engine waits in the kernel", self.hangs)

    def hangs(self) -> bool:
        """Whether the engine is in uninterruptible sleep."""
        return Path(f"/proc/{self.engine.pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"

    def thaw(self) -> None:
        """The disk answers again."""
        with suppress(subprocess.CalledProcessError):
            subprocess.run([*self._enter, "fsfreeze", "--unfreeze", VOLUME], check=True, stderr=subprocess.DEVNULL)


@pytest.fixture
def one(node: Make, controller: Controller, disk: dict[NodeName, str], link: None) -> KeeperNode:
    """Serves a group with a volume and an address."""
    volume = VolumeSpec(driver=VolumeDriver.BLOCK, sources=disk)
    controller.desire(ServiceGroup(name=SHARED, volume=volume, addresses=(ADDRESS,), candidates=(ONE, TWO)))
    controller.place(ONE)
    made = node(ONE)
    made.start()
    controller.grant(ONE)
    wait_until("one serves", made.serves, timeout=20, explain=lambda: made.log)
    assert present((ADDRESS,))
    return made


@pytest.fixture
def hanging(one: KeeperNode) -> Iterator[Hanging]:
    """The volume, which answers again after the test."""
    made = Hanging(one)
    yield made
    made.thaw()


def test_a_drop_takes_the_addresses_away_though_a_process_cannot_be_ended(
    one: KeeperNode, hanging: Hanging, server: EtcdServer
) -> None:
    hanging.freeze()
    server.freeze()
    wait_until("the address is gone", lambda: not present((ADDRESS,)), timeout=10, explain=lambda: one.log)
    assert hanging.hangs()
    assert one.marker() is None
    wait_until("it is told why", lambda: _fault(one), timeout=20, explain=lambda: one.log)
    assert one.mounts(), "what is written to is never unmounted lazily"
    hanging.thaw()
    wait_until("nothing is left", lambda: not one.mounts() and not _fault(one), timeout=20, explain=lambda: one.log)


def test_a_move_that_cannot_end_leaves_no_address_behind(
    one: KeeperNode, hanging: Hanging, controller: Controller
) -> None:
    hanging.freeze()
    controller.place(None)
    wait_until("the address is gone", lambda: not present((ADDRESS,)), timeout=20, explain=lambda: one.log)
    assert hanging.hangs()
    assert controller.owner() is not None
    hanging.thaw()
    wait_until("it is given up", lambda: controller.owner() is None, timeout=20, explain=lambda: one.log)
    assert one.mounts() == []


def _fault(node: KeeperNode) -> object:
    return node.report.get("groups", {}).get(SHARED, {}).get("fault")
