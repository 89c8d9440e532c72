"""`posthouse cluster remove NODE`: the cluster forgets a server, and what it holds opens nothing any more."""

from __future__ import annotations

from collections.abc import Collection

from appliance.cluster import keys
from appliance.cluster.decided import Acknowledgement, FenceProgress, FenceRecord
from appliance.cluster.model import Node, Ownership
from appliance.cluster.names import NodeName
from appliance.coordination import addresses
from appliance.coordination.access import Keys
from appliance.coordination.etcd_members import EtcdMembers
from appliance.coordination.etcd_roles import EtcdRoles
from appliance.coordination.store import Delete, Field, Guard, Record, Store
from appliance.errors import NotFound, PosthouseError
from appliance.installation import cluster_state
from appliance.node_file import NodeFile
from appliance.pki.upkeep import STORE_ROLES


class StillNeeded(PosthouseError):
    """The node owns groups, or is the last of its kind; nothing was changed."""


def remove(store: Store, me: NodeFile, name: NodeName) -> None:
    """Take a node out of the cluster. Can be repeated after a failure: the record goes last.

    Raises NotFound, StillNeeded with the reason, StoreUnavailable.
    """
    try:
        node, _ = cluster_state.find(store, name)
    except NotFound:
        if store.get(cluster_state.JOINS + name) is None:
            raise
        store.delete(cluster_state.JOINS + name)  # it was let in and got no further
        return
    if name == me.name:
        raise StillNeeded("cluster-remove-self", name=name)
    owned, session = _owned(store, name), store.get(keys.session(name))
    if owned and not _is_off(store, name, session, {epoch for _, epoch in owned.values()}):
        groups = ", ".join(sorted(owned))
        raise StillNeeded("cluster-remove-owns", name=name, groups=groups)
    if node.roles & STORE_ROLES:
        _remove_member(me, node)
        cluster_state.change(store, name, voter=False)
    roles = EtcdRoles(me.store.endpoints, Keys.read())
    try:
        roles.expel(name)
    finally:
        roles.close()
    _forget(store, name, [record for record, _ in owned.values()], session)


def _owned(store: Store, name: NodeName) -> dict[str, tuple[Record, int]]:
    """The ownership records that name the node, with the epoch of the session they rest on, by group."""
    found = {}
    for record in store.list(keys.OWNERS)[0]:
        owner = Ownership.model_validate_json(record.value)
        if owner.node == name:
            found[str(owner.group)] = record, owner.session_epoch
    return found


def _is_off(store: Store, name: NodeName, session: Record | None, owning: Collection[int]) -> bool:
    """Whether a verified fence or the operator's word says that the node is off, in the latest of its sessions.

    A session that was renewed after the word was given has refuted it.
    """
    fence, word = store.get(keys.fence(name)), store.get(keys.acknowledgement(name))
    off = set()
    if fence is not None:
        fenced = FenceRecord.model_validate_json(fence.value)
        off |= {fenced.session_epoch} if fenced.progress is FenceProgress.VERIFIED else set()
    if word is not None and (session is None or session.mod_revision < word.mod_revision):
        off.add(Acknowledgement.model_validate_json(word.value).session_epoch)
    return (max(owning) if session is None else session.create_revision) in off


def _remove_member(me: NodeFile, node: Node) -> None:
    members = EtcdMembers(me.store.endpoints, Keys.read())
    try:
        known = members.list()
        found = members.find(addresses.peer_url(node.address)) if node.address else None
        if found is not None and len(known) == 1:
            raise StillNeeded("cluster-remove-last", name=node.name)
        if found is not None:
            members.remove(found)
    finally:
        members.close()


def _forget(store: Store, name: NodeName, owned: Collection[Record], session: Record | None) -> None:
    """Delete its records in one step, unless its groups moved, or it renewed `session`, since they were seen."""
    guards = [Guard(record.key, Field.MOD_REVISION, record.mod_revision) for record in owned]
    if owned:
        guards.append(Guard(keys.session(name), Field.MOD_REVISION, session.mod_revision if session else 0))
    gone = [
        *(record.key for record in owned),
        *(record.key for record in store.list(f"{keys.RESTARTS}{name}/")[0]),
        *(record.key for record in store.list(f"{keys.STOPPED}{name}/")[0]),
        *(record.key for record in store.list(f"{keys.SETTINGS}node/{name}/")[0]),
        keys.drained(name), keys.fence_spec(name), keys.session(name), keys.fence(name), keys.status(name),
        keys.observation(name), keys.acknowledgement(name), keys.fence_request(name),
        cluster_state.JOINS + name, keys.node(name),
    ]  # fmt: skip
    if not store.transact(guards, [Delete(key) for key in gone]).succeeded:
        raise StillNeeded("cluster-remove-moved", name=name)
