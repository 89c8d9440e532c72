"""`posthouse cluster remove NODE`: the cluster forgets a server, and what it holds opens nothing any more."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from appliance import paths
from appliance.cluster import keys
from appliance.cluster.decided import Acknowledgement, FenceProgress, FenceRecord
from appliance.cluster.model import Node, Ownership
from appliance.cluster.names import NodeName
from appliance.coordination import addresses
from appliance.coordination.access import Keys
from appliance.coordination.etcd_members import EtcdMembers, Member
from appliance.coordination.etcd_roles import EtcdRoles
from appliance.coordination.store import Delete, Field, Guard, Record, Store
from appliance.errors import NotFound, PosthouseError
from appliance.installation import cluster_state, issued
from appliance.node_file import NodeFile
from appliance.pki import upkeep
from appliance.pki.upkeep import STORE_ROLES

_ATTEMPTS = 20


class StillNeeded(PosthouseError):
    """The node owns groups, or is the last of its kind; nothing was changed."""


def remove(store: Store, me: NodeFile, name: NodeName, pki: Path | None = None) -> None:
    """Take a node out of the cluster. Can be repeated after a failure: the record goes last.

    A node that lives is drained first, or it might be given a group at this moment. Once it is no user of the store any
    more it can neither take nor confirm nor keep a group; what it has been given until then is seen after that, and
    then it is let in again and nothing was changed.

    `pki` holds this node's keys and the authority's. Raises NotFound, StillNeeded with the reason, StoreUnavailable.
    """
    cluster_state.need_etcd(me)
    authority = upkeep.load_authority(pki)
    if authority is None:
        raise PosthouseError("tls-authority-key-missing", path=str(upkeep.authority_paths(pki or paths.PKI)[1]))
    try:
        node, _ = cluster_state.find(store, name)
    except NotFound:
        if store.get(cluster_state.JOINS + name) is None:
            raise
        issued.revoke(store, authority, name)
        store.delete(cluster_state.JOINS + name)  # it was let in and got no further
        return
    if name == me.name:
        raise StillNeeded("cluster-remove-self", name=name)
    _refuse_needed(store, name)
    own = Keys.read(pki)
    members = EtcdMembers(me.store.endpoints, own) if node.roles & STORE_ROLES else None
    roles = EtcdRoles(me.store.endpoints, own)
    try:
        if members is not None:
            _refuse_last(members, node)
        _expel(store, roles, node)
        if members is not None:
            _remove_member(members, node)
            cluster_state.change(store, name, voter=False)
        issued.revoke(store, authority, name)
    finally:
        roles.close()
        if members is not None:
            members.close()
    _forget(store, name)
    issued.revoke(store, authority, name)  # what it was signed at the last moment: nobody knows it from now on


def _refuse_needed(store: Store, name: NodeName) -> None:
    """Raise StillNeeded while the node owns groups or might be given one. A node that is off may have owned some."""
    owned, session = _owned(store, name), store.get(keys.session(name))
    if _is_off(store, name, session, {epoch for _, epoch in owned.values()}):
        return
    if owned:
        raise StillNeeded("cluster-remove-owns", name=name, groups=", ".join(sorted(owned)))
    if session is not None and store.get(keys.drained(name)) is None:
        raise StillNeeded("cluster-remove-not-drained", name=name)


def _expel(store: Store, roles: EtcdRoles, node: Node) -> None:
    """The node is no user of the store any more, unless it was given a group meanwhile."""
    roles.expel(node.name)
    try:
        _refuse_needed(store, node.name)
    except PosthouseError:
        roles.admit(node.name, node.roles)
        raise


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
        believed = fenced.progress is FenceProgress.VERIFIED and not fenced.missed
        off |= {fenced.session_epoch} if believed else set()
    if word is not None and (session is None or session.mod_revision < word.mod_revision):
        off.add(Acknowledgement.model_validate_json(word.value).session_epoch)
    latest = max(owning, default=0) if session is None else session.create_revision
    return latest in off


def _refuse_last(members: EtcdMembers, node: Node) -> None:
    if _member(members, node) is not None and len(members.list()) == 1:
        raise StillNeeded("cluster-remove-last", name=node.name)


def _remove_member(members: EtcdMembers, node: Node) -> None:
    found = _member(members, node)
    if found is not None:
        members.remove(found)


def _member(members: EtcdMembers, node: Node) -> Member | None:
    return members.find(addresses.peer_url(node.address)) if node.address else None


def _forget(store: Store, name: NodeName) -> None:
    """Delete its session and all its records in one step, if they are as they were seen.

    With the session its last chance of a grant goes. A grant of the last moment is one that it can never confirm.
    """
    for _ in range(_ATTEMPTS):
        owned, session = [record for record, _ in _owned(store, name).values()], store.get(keys.session(name))
        guards = [Guard(record.key, Field.MOD_REVISION, record.mod_revision) for record in owned]
        guards.append(Guard(keys.session(name), Field.MOD_REVISION, session.mod_revision if session else 0))
        gone = [
            *(record.key for record in owned),
            *(record.key for record in store.list(f"{keys.RESTARTS}{name}/")[0]),
            *(record.key for record in store.list(f"{keys.STOPPED}{name}/")[0]),
            *(record.key for record in store.list(f"{keys.SETTINGS}node/{name}/")[0]),
            keys.drained(name), keys.fence_spec(name), keys.fence_check(name), keys.session(name), keys.fence(name),
            keys.status(name), keys.power_ons(name),
            keys.observation(name), keys.acknowledgement(name), keys.fence_request(name),
            cluster_state.JOINS + name, keys.node(name),
        ]  # fmt: skip
        if store.transact(guards, [Delete(key) for key in gone]).succeeded:
            break
    else:
        raise PosthouseError("cluster-busy")
    for record, _ in _owned(store, name).values():
        store.transact([Guard(record.key, Field.MOD_REVISION, record.mod_revision)], [Delete(record.key)])
