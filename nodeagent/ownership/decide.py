"""What the keeper decides about exclusive groups, as pure functions over what it has seen.

Shared ones are decided by appliance.ownership.owner. The states of an exclusive group on this node:

    unowned  -> owned     acquired by a guarded transaction, or adopted
    owned    -> owned     whatever becomes of the session
    owned    -> unowned   no longer wanted here, or no longer exclusive

An *exclusive* group is one that no other node could ever serve: its volume is this
node's own folder and this node is its only candidate. Losing the store takes
nothing from it (docs/decisions/0003-exclusive-groups-outlive-the-store.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.cluster.model import Ownership, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, GroupName, NodeName


@dataclass(frozen=True)
class Held:
    """A group this node owns. `epoch` is the ownership record's mod revision, None while adopted without the store."""

    exclusive: bool
    epoch: int | None = None


@dataclass(frozen=True)
class SeenOwner:
    """An ownership record with the revision at which it was seen."""

    record: Ownership
    mod_revision: int


@dataclass(frozen=True)
class Acquire:
    """Take a group: its owner record must still be at `seen_revision` (0: absent)."""

    group: GroupName
    exclusive: bool
    seen_revision: int


@dataclass(frozen=True)
class Plan:
    """What one look at the store asks of the keeper."""

    acquire: tuple[Acquire, ...] = ()
    release: tuple[GroupName, ...] = ()
    contested: tuple[GroupName, ...] = ()


def plan(
    node: NodeName,
    session_epoch: int,
    groups: Mapping[GroupName, ServiceGroup],
    owners: Mapping[GroupName, SeenOwner],
    held: Mapping[GroupName, Held],
) -> Plan:
    """Compare what should be with what is held. The local group is never in the store and never released."""
    acquire, release, contested = [], [], []
    for name, group in groups.items():
        exclusive = group.held_exclusively_by(node)
        if not exclusive:
            continue
        seen = owners.get(name)
        if seen is not None and seen.record.node != node:
            contested.append(name)
        elif name not in held or seen is None or seen.record.session_epoch != session_epoch:
            acquire.append(Acquire(name, exclusive, seen.mod_revision if seen else 0))
    for name, holding in held.items():
        if name == LOCAL_GROUP:
            continue
        wanted = groups.get(name)
        if wanted is None or (holding.exclusive and not wanted.held_exclusively_by(node)):
            release.append(name)
    return Plan(tuple(acquire), tuple(release), tuple(contested))


def adoptable(remembered: Mapping[GroupName, Held], *, only_voter: bool) -> Mapping[GroupName, Held]:
    """Groups to serve after a boot although the store does not answer.

    Only exclusive ones, and only where this node is the store's single voter: then
    nobody else can have moved them meanwhile.
    """
    if not only_voter:
        return {}
    return {group: Held(exclusive=True) for group, holding in remembered.items() if holding.exclusive}
