"""A client that another member than its own answers returns to its own one when that takes connections again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cluster.names import Seconds
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.rpc import rpc_pb2, rpc_pb2_grpc
from tests.integration.etcd_server import EtcdServer
from tests.integration.store.watching import eventually
from tests.integration.store_process import wait_until_ready


@pytest.fixture
def members(tmp_path: Path, pki: Path) -> Iterator[list[EtcdServer]]:
    made = EtcdServer.members_of(tmp_path, pki, 3)
    yield made
    for member in made:
        member.kill()


def answering(store: EtcdStore) -> int:
    """The id of the member that answers this client."""
    request = rpc_pb2.RangeRequest(key=b"x")
    header = rpc_pb2_grpc.KVStub(store._connection.channel).Range(request, timeout=3, wait_for_ready=True).header
    return int(header.member_id)


def member_id(server: EtcdServer) -> int:
    with server.store() as asked:
        return answering(asked)


def test_a_client_that_was_up_before_its_own_member_moves_to_it(members: list[EtcdServer]) -> None:
    own, *others = members
    for member in others:
        member.start()
    store = own.store_of(members)
    assert isinstance(store, EtcdStore)
    store._connection._home._every = Seconds(0.2)
    with store:
        wait_until_ready(store, 40.0)
        stranger = answering(store)
        own.start()
        with own.store() as asked:
            wait_until_ready(asked, 40.0)

        def at_home() -> bool:
            store.put("/x", "1")
            return answering(store) != stranger

        eventually(at_home, 20.0)
        assert answering(store) == member_id(own)
