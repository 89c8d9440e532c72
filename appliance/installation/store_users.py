"""What the nodes may do in the store, as this release has it: an older one gave its nodes other permissions.

Each control node looks after that when its agent starts, and now and then (`appliance.pki.renew`); several at once do
no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from appliance.cluster import keys
from appliance.cluster.model import Role
from appliance.cluster.report import NodeReport
from appliance.coordination.access import Keys
from appliance.coordination.etcd_roles import EtcdRoles
from appliance.coordination.store import Record, Store
from appliance.installation import cluster_state
from appliance.node_file import Backend, NodeFile

log = logging.getLogger(__name__)


def renew(store: Store, me: NodeFile, own: Keys, release: str) -> int:
    """Bring every node's permissions up to date; return how many were others. Raises StoreUnavailable.

    Nothing is done where this node may not, where the store has no users, and while a node reports a newer release than
    ours: that one knows what its nodes need.
    """
    if Role.CONTROL not in me.roles or me.address is None or me.store.backend is not Backend.ETCD:
        return 0
    if not is_newest(release, (_release(record) for record in store.list(keys.STATUS)[0])):
        return 0
    roles = EtcdRoles(me.store.endpoints, own)
    try:
        renewed = [node.name for node in cluster_state.nodes(store).values() if roles.renew(node.name, node.roles)]
    finally:
        roles.close()
    if renewed:
        log.info("permissions in the store renewed: %s", ", ".join(renewed))
    return len(renewed)


def is_newest(release: str, others: Iterable[str]) -> bool:
    """Whether no other release (N.M…) is newer; what is no release counts for nothing. Pure."""
    return all(_number(other) <= _number(release) for other in others)


def _number(release: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in release.split(".")[:2])
    except ValueError:
        return ()


def _release(record: Record) -> str:
    try:
        return NodeReport.model_validate_json(record.value).release
    except ValueError:
        return ""
