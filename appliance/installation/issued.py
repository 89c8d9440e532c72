"""Which certificates each node was given, so that they can be revoked when it is removed.

A control node notes each one before it hands it out. What a control node issues for itself it notes afterwards; it
holds the authority's key, and could sign what nobody notes (docs/decisions/0085-revoked-certificates.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from cryptography import x509

from appliance import node_file
from appliance.cluster import keys
from appliance.cluster.decided import Revoked, RevokedCertificate, serial_text
from appliance.cluster.names import NodeName, Seconds
from appliance.coordination import connect, revoked
from appliance.coordination.store import Delete, Field, Guard, Put, Store
from appliance.errors import PosthouseError
from appliance.node_file import NodeFile
from appliance.pki import revocation, upkeep
from appliance.pki.authority import Authority

_ATTEMPTS = 20
#: After an upgrade a member of the store starts once more to read the first list: a witness not together with the
#: control node that made it.
_TURN = Seconds(30.0)
#: Puts and deletes of one transaction: the store takes 128 at most.
_AT_ONCE = 100


def note(store: Store, node: NodeName, certificates: Iterable[x509.Certificate]) -> None:
    """Note what a node is given. Can be repeated."""
    entries = [revocation.entry(node, each) for each in certificates]
    puts = [Put(keys.certificate(node, each.serial), each.model_dump_json()) for each in entries]
    if puts:
        store.transact([], puts)


def note_own(store: Store, node: NodeFile) -> None:
    """Note what this node, which holds the authority's key, has issued for itself."""
    authority = upkeep.load_authority()
    known = {record.key for record in store.list(f"{keys.CERTIFICATES}{node.name}/")[0]}
    pairs = (slot.read() for slot in upkeep.slots())
    own = [pair.leaf() for pair in pairs if pair is not None]
    ours = [each for each in own if authority is not None and authority.issued(each)]
    note(store, node.name, [
        each for each in ours
        if keys.certificate(node.name, serial_text(each.serial_number)) not in known
    ])  # fmt: skip


def revoke(store: Store, authority: Authority, node: NodeName) -> None:
    """Put every certificate that the node was given on the list. Can be repeated; raises StoreUnavailable."""
    prefix = f"{keys.CERTIFICATES}{node}/"
    while records := store.list(prefix)[0][:_AT_ONCE]:
        entries = [RevokedCertificate.model_validate_json(record.value) for record in records]
        _extend(store, authority, entries, [Delete(record.key) for record in records])


def withdraw(store: Store, authority: Authority, node: NodeName, certificates: Iterable[x509.Certificate]) -> None:
    """Put these alone on the list, and note them no more: the name may be another server's by now."""
    entries = [revocation.entry(node, each) for each in certificates]
    if entries:
        _extend(store, authority, entries, [Delete(keys.certificate(node, each.serial)) for each in entries])


def begin(store: Store, authority: Authority) -> bool:
    """Make the first list, of nobody, where there is none; return whether it was made."""
    if store.get(keys.REVOKED) is not None:
        return False
    return store.create(keys.REVOKED, revocation.listed(authority, None, ()).model_dump_json()).succeeded


def follow(node: NodeFile) -> bool:
    """Bring this node's copy of the list up to date; return whether it changed. Raises PosthouseError, ValueError.

    Where the authority's key is kept, the first list is made, and what this node was given is noted.
    """
    if node.address is None or node.store.backend is not node_file.Backend.ETCD:
        return False
    with connect(node) as store:
        authority = upkeep.load_authority()
        if authority is not None:
            begin(store, authority)
            note_own(store, node)
        found = revoked.read(store)
    if found is None:
        return False
    if authority is None and node.roles & upkeep.STORE_ROLES and not revocation.file().exists():
        time.sleep(_TURN)
    return revocation.keep(found)


def _extend(store: Store, authority: Authority, entries: list[RevokedCertificate], changes: list[Delete]) -> None:
    for _ in range(_ATTEMPTS):
        record = store.get(keys.REVOKED)
        before = Revoked.model_validate_json(record.value) if record else None
        guard = Guard(keys.REVOKED, Field.MOD_REVISION, record.mod_revision if record else 0)
        made = revocation.listed(authority, before, entries)
        if store.transact([guard], [Put(keys.REVOKED, made.model_dump_json()), *changes]).succeeded:
            return
    raise PosthouseError("cluster-busy")
