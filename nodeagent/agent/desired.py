"""Desired state: what the store says this node should run, read from raw records. Pure.

A record that cannot be read never takes a service down: it is reported, and what
stood before stays in force.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from appliance.cluster import keys
from appliance.cluster.decided import Revoked
from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, EngineName, GroupName, InstanceId, NodeName
from appliance.coordination.store import Record
from appliance.engines import topology
from appliance.errors import PosthouseError
from nodeagent.ownership.memory import write_atomically

_Name = TypeVar("_Name")
_Value = TypeVar("_Value")

#: What nodes run for themselves, in start order, and the roles of which one asks for it.
_LOCAL = (
    (EngineName("etcd"), frozenset({Role.CONTROL, Role.WITNESS})),
    (EngineName("slapd"), frozenset({Role.DIRECTORY, Role.STORE, Role.EDGE})),
)


@dataclass(frozen=True)
class Desired:
    """Everything the agent acts on. `settings` are raw records, read by the settings registry."""

    groups: Mapping[GroupName, ServiceGroup] = field(default_factory=dict)
    settings: tuple[Record, ...] = ()
    restarts: Mapping[InstanceId, int] = field(default_factory=dict)
    stopped: frozenset[InstanceId] = frozenset()
    unreadable: tuple[str, ...] = ()
    nodes: Mapping[NodeName, Node] = field(default_factory=dict)
    revoked: Revoked | None = None


def local(node: Node, groups: Iterable[ServiceGroup] = (), edge: tuple[topology.Address, ...] = ()) -> ServiceGroup:
    """What a node runs for itself, beside these groups. `edge`: where its edge listens if not at its own address."""
    services = [engine for engine, needed in _LOCAL if node.roles & needed]
    addresses = topology.edge_addresses(node, groups, edge)
    if addresses:
        services.append(topology.EDGE.engine)
    return ServiceGroup(name=LOCAL_GROUP, services=tuple(services), addresses=addresses)


def read(records: Iterable[Record], node: NodeName, before: Desired | None = None) -> Desired:
    """Sort the store's records into a desired state for `node`.

    A record that cannot be read stays what it was in `before`.
    """
    groups: dict[GroupName, ServiceGroup] = {}
    nodes: dict[NodeName, Node] = {}
    restarts: dict[InstanceId, int] = {}
    stopped: set[InstanceId] = set()
    settings: list[Record] = []
    unreadable: list[str] = []
    revoked: Revoked | None = None
    for record in records:
        try:
            if record.key.startswith(keys.GROUPS):
                group = ServiceGroup.model_validate_json(record.value)
                groups[group.name] = group
            elif record.key.startswith(keys.NODES):
                known = Node.model_validate_json(record.value)
                nodes[known.name] = known
            elif record.key.startswith(keys.SETTINGS):
                settings.append(record)
            elif record.key == keys.REVOKED:
                revoked = Revoked.model_validate_json(record.value)
            elif record.key.startswith(f"{keys.RESTARTS}{node}/"):
                restarts[InstanceId.parse(record.key.rpartition("/")[2])] = int(record.value)
            elif record.key.startswith(f"{keys.STOPPED}{node}/"):
                stopped.add(InstanceId.parse(record.key.rpartition("/")[2]))
        except (ValueError, PosthouseError, RecursionError):
            unreadable.append(record.key)
            if before is not None:
                groups.update(_as_before(record.key, keys.group, before.groups))
                revoked = before.revoked if record.key == keys.REVOKED else revoked
                nodes.update(_as_before(record.key, keys.node, before.nodes))
                restarts.update(_as_before(record.key, lambda instance: keys.restart(instance, node), before.restarts))
    return Desired(groups, tuple(settings), restarts, frozenset(stopped), tuple(unreadable), nodes, revoked)


def _as_before(key: str, key_of: Callable[[_Name], str], before: Mapping[_Name, _Value]) -> dict[_Name, _Value]:
    """What stood at `key` before, by its name."""
    return {name: value for name, value in before.items() if key_of(name) == key}


def keep(records: Iterable[Record], file: Path) -> None:
    """Keep the records on disk, so that a node that boots without the store still knows what to run."""
    kept = [[r.key, r.value, r.create_revision, r.mod_revision] for r in records]
    write_atomically(file, json.dumps(kept), 0o600)


def kept(file: Path) -> list[Record]:
    """What `keep` wrote last; empty when there is nothing readable."""
    try:
        return [Record(*fields) for fields in json.loads(file.read_text())]
    except (OSError, ValueError, TypeError, RecursionError):
        return []


def belongs(key: str, node: NodeName) -> bool:
    """Whether the agent of `node` acts on this key; the rest of the store is other people's."""
    own = (f"{keys.RESTARTS}{node}/", f"{keys.STOPPED}{node}/")
    return key.startswith((keys.GROUPS, keys.SETTINGS, keys.NODES, keys.REVOKED, keys.RUNS, *own))
