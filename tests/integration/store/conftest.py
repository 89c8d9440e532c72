"""Servers and clients for the store's suite; a backend is something that can be started, frozen and killed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.coordination.store import Store
from tests.integration.etcd_server import EtcdServer, make_keys
from tests.integration.store.cluster import StoreCluster
from tests.integration.store_process import StoreProcess, wait_until_ready
from tests.integration.zookeeper_server import ZooKeeperServer

BACKENDS: dict[str, type[StoreProcess]] = {"etcd": EtcdServer, "zookeeper": ZooKeeperServer}
NEEDED = {"etcd": ("etcd", "etcd-server"), "zookeeper": ("java", "openjdk-17-jre-headless and libzookeeper-java")}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make_keys(folder)
    return folder


@pytest.fixture(scope="module", params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> type[StoreProcess]:
    """The program that keeps the store: every test of this folder runs with each."""
    program, packages = NEEDED[request.param]
    if shutil.which(program) is None:
        pytest.skip(f"needs Debian's {packages}")
    return BACKENDS[request.param]


@pytest.fixture(scope="module")
def server(backend: type[StoreProcess], tmp_path_factory: pytest.TempPathFactory, pki: Path) -> Iterator[StoreProcess]:
    [made] = backend.members_of(tmp_path_factory.mktemp("data"), pki, 1)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def store(server: StoreProcess) -> Iterator[Store]:
    """A client of a running server; the server is mended when the test before broke it."""
    if server.process is None:
        server.start()
    server.thaw()
    with server.store() as made:
        wait_until_ready(made)
        yield made
        server.thaw()


@pytest.fixture(scope="module")
def shared_cluster(
    backend: type[StoreProcess], tmp_path_factory: pytest.TempPathFactory, pki: Path
) -> Iterator[StoreCluster]:
    made = StoreCluster(backend.members_of(tmp_path_factory.mktemp("cluster"), pki, 3))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def cluster(shared_cluster: StoreCluster) -> Iterator[StoreCluster]:
    """Three members that work; mended when the test before broke them."""
    shared_cluster.mend()
    yield shared_cluster
    shared_cluster.release()


_folders = itertools.count()


@pytest.fixture
def prefix() -> str:
    """A folder of keys for this test alone."""
    return f"/test{next(_folders)}/"
