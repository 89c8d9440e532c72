"""Keeps the store's endpoints in node.yaml: the members that vote, as the nodes' records say.

Every client of this node follows the file (`appliance/coordination/connection.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from appliance import node_file, paths
from appliance.cluster.model import Node
from appliance.cluster.names import NodeName
from appliance.coordination.addresses import endpoints
from appliance.errors import PosthouseError
from appliance.node_file import StoreAccess

log = logging.getLogger("posthouse.agent")


def follow(nodes: Mapping[NodeName, Node], me: NodeName, file: Path | None = None) -> bool:
    """Write the endpoints down where they are others than before; return whether they were.

    A server that stands alone has no voters with addresses: its file stays as it is.
    """
    found = endpoints(nodes, me)
    if not found:
        return False
    try:
        identity = node_file.read(file or paths.NODE_FILE)
        if identity.address is None or identity.store.endpoints == found:
            return False
        store = StoreAccess(backend=identity.store.backend, endpoints=found)
        node_file.write(identity.model_copy(update={"store": store}), file or paths.NODE_FILE)
    except (PosthouseError, ValueError, OSError) as error:
        log.error("the store's endpoints were not written down: %s", error)
        return False
    log.info("the store's members are now: %s", ", ".join(found))
    return True
