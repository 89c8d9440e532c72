"""The coordination store: one interface (`store.py`), two backends (`etcd.py`, `zookeeper.py`).

`connect` gives the store of this node, as node.yaml names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.cluster.names import Seconds

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.coordination.store import Store
    from appliance.node_file import NodeFile


def connect(node_file: NodeFile | None = None, *, deadline: Seconds = Seconds(3.0), pki: Path | None = None) -> Store:
    """Return a client of this node's store; nothing is sent yet. `deadline` is the default of each call. A client that
    lives on follows the endpoints of node.yaml.

    `pki` holds the node's keys where a service may not read those in their own place.

    Raises NotFound or NodeFileRefused for node.yaml, StoreUnavailable when the keys cannot be read.
    """
    from appliance import node_file as files  # noqa: PLC0415
    from appliance import paths  # noqa: PLC0415
    from appliance.coordination.access import Keys  # noqa: PLC0415

    node = node_file or files.read()
    keys = Keys.read(pki)
    # gRPC takes 0.1 s to import; commands that need no store, and nodes with the other one, do not pay for it.
    if node.store.backend is files.Backend.ZOOKEEPER:
        from appliance.coordination.zookeeper import ZooKeeperStore  # noqa: PLC0415

        return ZooKeeperStore(node.store.endpoints, pki or paths.PKI, deadline=deadline)
    from appliance.coordination.connection import EndpointFile  # noqa: PLC0415 - as said above
    from appliance.coordination.etcd import EtcdStore  # noqa: PLC0415

    follow = EndpointFile(paths.NODE_FILE)
    return EtcdStore(node.store.endpoints, keys, deadline=deadline, follow=follow)
