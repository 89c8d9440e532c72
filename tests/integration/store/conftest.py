"""Servers and clients for the store's suite; a backend is something that can be started, frozen and killed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.coordination.etcd import EtcdStore
from tests.integration.etcd_server import EtcdServer, make_keys, wait_until_ready


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make_keys(folder)
    return folder


@pytest.fixture(scope="module", params=["etcd"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pki: Path) -> Iterator[EtcdServer]:
    if shutil.which("etcd") is None:
        pytest.skip("needs Debian's etcd-server")
    backends = {"etcd": EtcdServer}
    made = backends[request.param](tmp_path_factory.mktemp("data"), pki)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def store(server: EtcdServer) -> Iterator[EtcdStore]:
    """A client of a running server; the server is mended when the test before broke it."""
    if server.process is None:
        server.start()
    server.thaw()
    with server.store() as made:
        wait_until_ready(made)
        yield made
        server.thaw()


_folders = itertools.count()


@pytest.fixture
def prefix() -> str:
    """A folder of keys for this test alone."""
    return f"/test{next(_folders)}/"
