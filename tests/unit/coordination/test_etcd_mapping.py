"""The pure parts of the etcd client: key ranges, targets, and what a gRPC failure means."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordination.connection import Connection, Keys, target
from appliance.coordination.etcd_watch import prefix_end
from appliance.coordination.store import StoreUnavailable
from appliance.pki.authority import Authority

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(prefix=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), key=keys)
def test_a_key_is_in_the_range_of_a_prefix_exactly_when_it_starts_with_it(prefix: str, key: str) -> None:
    for candidate in (key, prefix + key):
        inside = prefix.encode() <= candidate.encode() < prefix_end(prefix)
        assert inside is candidate.startswith(prefix)


def test_the_empty_prefix_means_every_key() -> None:
    assert prefix_end("") == b"\0"


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param(["https://127.0.0.1:2379"], "ipv4:127.0.0.1:2379", id="one"),
        pytest.param(["https://10.0.0.1:2379", "https://10.0.0.2:2380"], "ipv4:10.0.0.1:2379,10.0.0.2:2380", id="two"),
        pytest.param(["https://[fd00::1]:2379", "https://[::1]:1"], "ipv6:[fd00::1]:2379,[::1]:1", id="ipv6"),
        pytest.param(["https://store.example.com:2379"], "dns:///store.example.com:2379", id="name"),
    ],
)
def test_endpoints_become_one_grpc_target(endpoints: list[str], expected: str) -> None:
    assert target(endpoints) == expected


class Failed(grpc.RpcError):  # type: ignore[misc]
    """As gRPC raises it: a call and an error at once."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__()
        self._facts = (code, detail)

    def code(self) -> grpc.StatusCode:
        return self._facts[0]

    def details(self) -> str:
        return self._facts[1]


@pytest.fixture
def connection() -> Connection:
    pair = Authority.create("test.example.com").pair()
    return Connection(
        ["https://127.0.0.1:1", "https://127.0.0.1:2"], Keys(pair.certificate, pair.certificate, pair.key)
    )


@pytest.mark.parametrize(
    ("error", "key"),
    [
        pytest.param(Failed(grpc.StatusCode.UNAVAILABLE, "refused"), "store-unreachable", id="refused"),
        pytest.param(Failed(grpc.StatusCode.DEADLINE_EXCEEDED, "late"), "store-no-answer", id="late"),
        pytest.param(
            Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"), "store-full",
            id="full",
        ),
        pytest.param(
            Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests"), "store-refused", id="busy"
        ),
        pytest.param(Failed(grpc.StatusCode.UNKNOWN, "Stream removed"), "store-unreachable", id="broken"),
        pytest.param(Failed(grpc.StatusCode.UNKNOWN, "etcdserver: odd"), "store-refused", id="odd"),
        pytest.param(Failed(grpc.StatusCode.INVALID_ARGUMENT, "bad"), "store-refused", id="bad-request"),
        pytest.param(ValueError("Cannot invoke RPC on closed channel!"), "store-closed", id="closed"),
    ],
)  # fmt: skip
def test_a_failure_is_told_by_its_kind(connection: Connection, error: Exception, key: str) -> None:
    assert connection.failure(error, 1.0).key == key
    connection.close()


def test_a_silent_member_gives_way_to_the_next_one(connection: Connection) -> None:
    first = connection.channel
    connection.suspect(first, 0.2)
    assert connection.channel is first, "a call that hardly waited proves nothing"
    connection.suspect(first, 1.5)
    second = connection.channel
    assert second is not first
    connection.suspect(first, 1.5)
    assert connection.channel is second, "an old complaint does not count against the new channel"
    connection.close()
    with pytest.raises(StoreUnavailable):
        _ = connection.channel
