"""What the nodes may do in the store, as this release has it: an older one gave its nodes other permissions.

Each control node looks after that when its agent starts, and now and then (`appliance.pki.renew`); several at once do
no harm.
"""

from __future__ import annotations

import logging

from appliance.cluster.model import Role
from appliance.coordination.access import Keys
from appliance.coordination.etcd_roles import EtcdRoles
from appliance.coordination.store import Store
from appliance.installation import cluster_state
from appliance.node_file import Backend, NodeFile

log = logging.getLogger(__name__)


def renew(store: Store, me: NodeFile, keys: Keys) -> int:
    """Bring every node's permissions up to date; return how many were others. Raises StoreUnavailable.

    Nothing is done where this node may not, or the store has no users.
    """
    if Role.CONTROL not in me.roles or me.address is None or me.store.backend is not Backend.ETCD:
        return 0
    roles = EtcdRoles(me.store.endpoints, keys)
    try:
        renewed = [node.name for node in cluster_state.nodes(store).values() if roles.renew(node.name, node.roles)]
    finally:
        roles.close()
    if renewed:
        log.info("permissions in the store renewed: %s", ", ".join(renewed))
    return len(renewed)
