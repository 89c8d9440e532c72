"""Service groups as operators make and move them. Pure checks, and one guarded transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from appliance.cluster import keys
from appliance.cluster.decided import Wish
from appliance.cluster.model import Node, Role, ServiceGroup, VolumeDriver, VolumeSpec
from appliance.cluster.names import LOCAL_GROUP, EngineName, GroupName, NodeName
from appliance.cluster.report import NodeReport
from appliance.coordination.store import Delete, Field, Guard, Put, Record, Store
from appliance.engines.catalogue import ENGINES
from appliance.errors import AlreadyExists, BadInput, NotFound, PosthouseError
from appliance.ownership.records import UnreadableRecord

#: Roles of nodes that may own groups.
OWNING = frozenset({Role.STORE, Role.DIRECTORY, Role.DATABASE})
#: What runs for every node itself and never in a group that moves.
_LOCAL_ENGINES = frozenset({EngineName("etcd"), EngineName("slapd")})


class GroupChanged(PosthouseError):
    """Somebody else changed the group at the same time; nothing was written."""


def volume(text: str, *, sources: Mapping[NodeName, str], filesystem: str | None, reservation: bool) -> VolumeSpec:
    """Read DRIVER[:SOURCE]; raise BadInput naming what is wrong with it."""
    driver, _, source = text.partition(":")
    if driver not in {each.value for each in VolumeDriver}:
        raise BadInput("volume", "volume-unknown-driver", value=driver, known=", ".join(VolumeDriver))
    kind = VolumeDriver(driver)
    if kind is VolumeDriver.DIRECTORY and (source or sources):
        raise BadInput("volume", "volume-directory-has-no-source", value=source or ", ".join(sources.values()))
    if kind is not VolumeDriver.DIRECTORY and not source and not sources:
        raise BadInput("volume", "volume-needs-source", value=driver)
    for each in (source, *sources.values()):
        _check_source(kind, each)
    fields: dict[str, Any] = {"driver": kind, "source": source, "sources": dict(sources), "reservation": reservation}
    if filesystem is not None:
        fields["filesystem"] = filesystem
    try:
        return VolumeSpec.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(str(first["loc"][0]), "group-bad-field", detail=first["msg"]) from error


def _check_source(kind: VolumeDriver, source: str) -> None:
    if not source:
        return
    if any(not character.isprintable() or character.isspace() for character in source):
        raise BadInput("volume", "volume-source-malformed", value=source)
    if kind is VolumeDriver.BLOCK and not source.startswith("/dev/"):
        raise BadInput("volume", "volume-not-a-device", value=source)
    if kind is VolumeDriver.NFS and ":/" not in source:
        raise BadInput("volume", "volume-not-an-export", value=source)


# --- checks -----------------------------------------------------------------------------------------------


def check(group: ServiceGroup, others: Mapping[GroupName, ServiceGroup], nodes: Mapping[NodeName, Node]) -> None:
    """Raise BadInput for what could never work: unknown nodes or engines, an address in use, a contradiction."""
    if group.name == LOCAL_GROUP:
        raise BadInput("group", "group-is-local", value=group.name)
    _check_services(group)
    _check_candidates(group, nodes)
    _check_addresses(group, others, nodes)
    for field in ("together", "apart", "start_after"):
        for name in sorted(getattr(group, field)):
            if name == group.name or name not in others:
                raise BadInput(field, "group-unknown-other", value=name)
    if both := group.together & group.apart:
        raise BadInput("apart", "group-together-and-apart", value=", ".join(sorted(both)))


def _check_services(group: ServiceGroup) -> None:
    for service in group.services:
        if service not in ENGINES or service in _LOCAL_ENGINES:
            known = ", ".join(sorted(ENGINES.keys() - _LOCAL_ENGINES))
            raise BadInput("services", "group-unknown-service", value=service, known=known)


def _check_candidates(group: ServiceGroup, nodes: Mapping[NodeName, Node]) -> None:
    for name in group.candidates:
        node = nodes.get(name)
        if node is None:
            raise BadInput("candidates", "group-unknown-node", value=name)
        if not node.roles & OWNING:
            raise BadInput("candidates", "group-node-owns-nothing", value=name)
    if group.volume.driver is VolumeDriver.DIRECTORY and len(group.candidates) != 1:
        raise BadInput("candidates", "group-folder-is-one-nodes", value=", ".join(group.candidates))


def _check_addresses(
    group: ServiceGroup, others: Mapping[GroupName, ServiceGroup], nodes: Mapping[NodeName, Node]
) -> None:
    used = {address: other.name for other in others.values() for address in other.addresses if other.name != group.name}
    used |= {node.address: GroupName(node.name) for node in nodes.values() if node.address is not None}
    for address in group.addresses:
        if address in used:
            raise BadInput("addresses", "group-address-in-use", value=str(address), by=used[address])
        if address.is_loopback or address.is_multicast or address.is_unspecified:
            raise BadInput("addresses", "group-address-unusable", value=str(address))


# --- what stands in the store -----------------------------------------------------------------------------


def groups(store: Store) -> dict[GroupName, tuple[ServiceGroup, Record]]:
    """Every group with its record; raises StoreUnavailable, PosthouseError for a record that cannot be read."""
    return {
        group.name: (group, record)
        for record in store.list(keys.GROUPS)[0]
        for group in (_parsed(record, ServiceGroup),)
    }


def nodes(store: Store) -> dict[NodeName, Node]:
    """Every node; raises as `groups` does."""
    return {node.name: node for record in store.list(keys.NODES)[0] for node in (_parsed(record, Node),)}


def _parsed(record: Record, kind: Any) -> Any:
    try:
        return kind.model_validate_json(record.value)
    except (ValidationError, PosthouseError) as error:
        raise UnreadableRecord(record) from error


def known(store: Store, name: GroupName) -> tuple[ServiceGroup, Record]:
    """The group of that name; raise NotFound."""
    found = groups(store).get(name)
    if found is None:
        raise NotFound("group-not-found", group=name)
    return found


def create(store: Store, group: ServiceGroup) -> None:
    """Write a new group; raise BadInput, AlreadyExists."""
    there = {name: each for name, (each, _) in groups(store).items()}
    if group.name in there:
        raise AlreadyExists("group-exists", group=group.name)
    check(group, there, nodes(store))
    if not store.create(keys.group(group.name), group.model_dump_json()).succeeded:
        raise AlreadyExists("group-exists", group=group.name)


def change(store: Store, name: GroupName, fields: Mapping[str, Any]) -> ServiceGroup:
    """Change fields of a group. Its volume can only change while nobody owns it: mail would stay behind unseen.

    Raises NotFound, BadInput, GroupChanged; PosthouseError for a group that a newer release wrote.
    """
    group, record = known(store, name)
    if group.newer:
        raise PosthouseError("record-newer", record=record.key)
    try:
        wanted = ServiceGroup.model_validate({**group.model_dump(), **fields})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(str(first["loc"][0]), "group-bad-field", detail=first["msg"]) from error
    guards = [Guard(keys.group(name), Field.MOD_REVISION, record.mod_revision)]
    before, after = only_node(group), only_node(wanted)
    changes: list[Put | Delete] = [Put(keys.group(name), wanted.model_dump_json())]
    elsewhere = before is not None and before != after
    if elsewhere or (wanted.volume, wanted.extra_volumes) != (group.volume, group.extra_volumes):
        owner = store.get(keys.owner(name))
        if owner is not None and not _rests(store, group):
            raise BadInput("volume", "group-volume-in-use", group=name)
        guards.append(Guard(keys.owner(name), Field.MOD_REVISION, owner.mod_revision if owner else 0))
        if owner is not None and elsewhere and after is not None:
            changes.append(Delete(keys.owner(name)))  # its new node takes it by itself, once nobody is recorded
    others = {other: each for other, (each, _) in groups(store).items() if other != name}
    check(wanted, others, nodes(store))
    if not store.transact(guards, changes).succeeded:
        raise GroupChanged("group-changed-meanwhile", group=name)
    return wanted


def delete(store: Store, name: GroupName) -> None:
    """Forget a group that nobody owns; what lies on its volume stays. Raises NotFound, BadInput, GroupChanged.

    A group of one node's own folder stays that node's until it is forgotten: there its engines must be stopped.
    """
    group, record = known(store, name)
    owner = store.get(keys.owner(name))
    if owner is not None and not _rests(store, group):
        raise BadInput("group", "group-is-owned", group=name)
    guards = [
        Guard(keys.group(name), Field.MOD_REVISION, record.mod_revision),
        Guard(keys.owner(name), Field.MOD_REVISION, owner.mod_revision if owner else 0),
    ]
    gone = [Delete(keys.group(name)), Delete(keys.wish(name)), Delete(keys.placement(name))]
    if owner is not None:
        gone.append(Delete(keys.owner(name)))
    if not store.transact(guards, gone).succeeded:
        raise GroupChanged("group-changed-meanwhile", group=name)


# --- wishes -----------------------------------------------------------------------------------------------


def move(store: Store, name: GroupName, node: NodeName) -> None:
    """Wish the group onto a node; raise NotFound, BadInput when it could never run there."""
    group, _ = known(store, name)
    there = nodes(store)
    if node not in there:
        raise NotFound("node-not-found", node=node)
    if not there[node].roles & OWNING:
        raise BadInput("node", "group-node-owns-nothing", value=node)
    if group.candidates and node not in group.candidates and not group.labels:
        raise BadInput("node", "group-not-a-candidate", value=node, known=", ".join(group.candidates))
    store.put(keys.wish(name), Wish(group=name, node=node).model_dump_json())


def stop(store: Store, name: GroupName) -> None:
    """Wish the group stopped until `start`; raise NotFound.

    A group of one node's own folder stays that node's: there its engines are stopped.
    """
    group, _ = known(store, name)
    changes: list[Put | Delete] = [Put(keys.wish(name), Wish(group=name, stopped=True).model_dump_json())]
    node = only_node(group)
    if node is not None:
        changes += [Put(keys.stopped(instance, node), "1") for instance in group.instances]
    store.transact([], changes)


def start(store: Store, name: GroupName) -> None:
    """Take every wish about the group back: it runs where it is placed. Raise NotFound."""
    group, _ = known(store, name)
    stopped = [record.key for record in store.list(keys.STOPPED)[0]]
    ended = {str(instance) for instance in group.instances}
    gone = [Delete(key) for key in stopped if key.rpartition("/")[2] in ended]
    store.transact([], [Delete(keys.wish(name)), *gone])


def only_node(group: ServiceGroup) -> NodeName | None:
    """The one node that could ever own the group, or None."""
    for node in group.candidates:
        if group.held_exclusively_by(node):
            return node
    return None


def _rests(store: Store, group: ServiceGroup) -> bool:
    """Whether the group is one node's own and all its engines are stopped there."""
    node = only_node(group)
    record = store.get(keys.status(node)) if node is not None else None
    if record is None:
        return False
    report = NodeReport.model_validate_json(record.value)
    states = {each.instance: each.state for each in report.instances}
    return all(states.get(str(instance)) == "stopped" for instance in group.instances)
