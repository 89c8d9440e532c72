"""The nodes' records: reading them all, and the numbers that nodes get once and for ever."""

from __future__ import annotations

from appliance.cluster import keys
from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from appliance.coordination.store import Field, Guard, Put, Record, Store
from appliance.errors import AlreadyExists, BadInput, NotFound, PosthouseError
from appliance.node_file import Backend, NodeFile

#: Highest number given so far. Never lowered: a number that means a node in old changes of the directory is not reused.
NUMBERS = keys.PREFIX + "numbers"
#: The key of the server that was let in under a name: only it may come again under it.
JOINS = keys.PREFIX + "joins/"
_ATTEMPTS = 20


def need_etcd(node: NodeFile) -> None:
    """Raise BadInput where the store is another one: a cluster grows and shrinks with etcd's members and users."""
    if node.store.backend is not Backend.ETCD:
        raise BadInput("store.backend", "cluster-needs-etcd", value=str(node.store.backend))


def nodes(store: Store) -> dict[NodeName, Node]:
    """Every node that the store knows, by name."""
    return {node.name: node for node in (_node(record) for record in store.list(keys.NODES)[0])}


def find(store: Store, name: NodeName) -> tuple[Node, int]:
    """A node's record and its revision; raises NotFound."""
    record = store.get(keys.node(name))
    if record is None:
        raise NotFound("cluster-node-unknown", name=name)
    return _node(record), record.mod_revision


def reserve(store: Store, name: NodeName, holder: str) -> None:
    """Note whose name this is now. Raises AlreadyExists when it is another server's."""
    if not store.create(JOINS + name, holder).succeeded and not is_held(store, name, holder):
        raise AlreadyExists("join-name-taken", name=name)


def is_held(store: Store, name: NodeName, holder: str) -> bool:
    """Whether the server with this key was let in under the name before."""
    record = store.get(JOINS + name)
    return record is not None and record.value == holder


def next_number(store: Store) -> int:
    """A number that no node ever had."""
    for _ in range(_ATTEMPTS):
        record = store.get(NUMBERS)
        number = 1 + max([int(record.value) if record else 0, *(node.number or 0 for node in nodes(store).values())])
        guard = Guard(NUMBERS, Field.MOD_REVISION, record.mod_revision if record else 0)
        if store.transact([guard], [Put(NUMBERS, str(number))]).succeeded:
            return number
    raise PosthouseError("cluster-busy")


def change(store: Store, name: NodeName, **fields: object) -> bool:
    """Set fields of a node's record; return whether anything changed. Raises NotFound."""
    for _ in range(_ATTEMPTS):
        node, revision = find(store, name)
        changed = node.model_copy(update=fields)
        if changed == node:
            return False
        guard = Guard(keys.node(name), Field.MOD_REVISION, revision)
        if store.transact([guard], [Put(keys.node(name), changed.model_dump_json())]).succeeded:
            return True
    raise PosthouseError("cluster-busy")


def control_nodes(store: Store) -> list[Node]:
    """The control nodes that have an address."""
    return [node for node in nodes(store).values() if Role.CONTROL in node.roles and node.address]


def _node(record: Record) -> Node:
    return Node.model_validate_json(record.value)
