"""What cannot become a cluster is told so before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from appliance.cluster.model import Role
from appliance.cluster.names import NodeName
from appliance.errors import BadInput
from appliance.installation import cluster_init, recovery
from appliance.node_file import Backend, NodeFile, StoreAccess

ADDRESS = ip_address("10.0.0.1")
ON_ZOOKEEPER = NodeFile(
    name=NodeName("n1"), hostname="n1.example.com", roles=frozenset({Role.CONTROL}), address=ADDRESS,
    store=StoreAccess(backend=Backend.ZOOKEEPER, endpoints=("https://10.0.0.1:2281",)),
)  # fmt: skip


@pytest.mark.parametrize(
    "call", [lambda: cluster_init.check(ON_ZOOKEEPER, ADDRESS), lambda: recovery.lost_voters(ON_ZOOKEEPER)]
)
def test_a_server_whose_store_is_zookeeper_begins_no_cluster_and_recovers_none(call: Callable[[], object]) -> None:
    with pytest.raises(BadInput) as caught:
        call()
    assert caught.value.key == "cluster-needs-etcd"
    assert "zookeeper" in str(caught.value)
