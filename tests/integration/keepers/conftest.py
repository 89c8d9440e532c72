"""A store, two keepers, and a disk that both reach."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.cluster import keys
from appliance.cluster.names import NodeName
from tests.integration.etcd_server import EtcdServer, make_keys, wait_until_ready
from tests.integration.keepers.stage import TIMING, UNIFIED, Controller, KeeperNode

ONE, TWO = NodeName("one"), NodeName("two")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make_keys(folder)
    return folder


@pytest.fixture
def server(tmp_path: Path, pki: Path) -> Iterator[EtcdServer]:
    if shutil.which("etcd") is None:
        pytest.skip("needs Debian's etcd-server")
    made = EtcdServer(tmp_path / "etcd", pki)
    made.folder.mkdir()
    made.start()
    yield made
    made.thaw()
    made.kill()


@pytest.fixture
def controller(server: EtcdServer) -> Iterator[Controller]:
    with server.store() as store:
        wait_until_ready(store)
        store.put(keys.TIMING, TIMING.model_dump_json())
        yield Controller(store)


@pytest.fixture
def node(tmp_path: Path, pki: Path, server: EtcdServer, controller: Controller) -> Iterator[Callable[..., KeeperNode]]:
    """Makes nodes, not started."""
    assert controller
    if not (UNIFIED / "cgroup.procs").exists():
        pytest.skip("needs root and the unified cgroup hierarchy")
    made: list[KeeperNode] = []

    def make(name: NodeName) -> KeeperNode:
        node = KeeperNode(name, tmp_path / name, pki, server.endpoint)
        made.append(node)
        return node

    yield make
    server.thaw()
    for each in made:
        each.end()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[dict[NodeName, str]]:
    """One ext4 with multi-mount protection behind a loop device for each node, as two machines reach one LUN."""
    image = tmp_path / "lun.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    # Without checksums, so that a test can write into the protection block.
    subprocess.run(
        ["mkfs.ext4", "-q", "-O", "mmp,^metadata_csum", "-E", "mmp_update_interval=1", str(image)], check=True
    )
    devices = {
        name: subprocess.run(
            ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in (ONE, TWO)
    }
    yield devices
    for device in devices.values():
        subprocess.run(["losetup", "--detach", device], check=False)
