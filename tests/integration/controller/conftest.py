"""One etcd for the tests of the controller; each test begins with an empty store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.controller.stage import Stage
from tests.integration.etcd_server import EtcdServer, make_keys, wait_until_ready


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    pki = tmp_path_factory.mktemp("pki")
    make_keys(pki)
    server = EtcdServer(tmp_path_factory.mktemp("data"), pki)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def stage(etcd: EtcdServer, tmp_path: Path) -> Iterator[Stage]:
    etcd.thaw()
    with etcd.store() as store:
        wait_until_ready(store)
        made = Stage(tmp_path, etcd, store)
        made.begin()
        try:
            yield made
        finally:
            made.close()
