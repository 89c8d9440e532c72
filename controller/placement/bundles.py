"""Groups that are to be on the same node are decided as one bundle; most bundles hold one group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from appliance.cluster.model import ServiceGroup
from appliance.cluster.names import GroupName

Apart = Mapping[GroupName, frozenset[GroupName]]


@dataclass(frozen=True)
class Bundle:
    """Its groups, the most important first."""

    groups: tuple[GroupName, ...]
    priority: int

    @property
    def lead(self) -> GroupName:
        """The group whose preferences count for all."""
        return self.groups[0]


def apart_of(groups: Mapping[GroupName, ServiceGroup]) -> Apart:
    """For each group all that must not be beside it, whichever of the two says so."""
    found: dict[GroupName, set[GroupName]] = {}
    for name, group in groups.items():
        for other in group.apart:
            if other != name:
                found.setdefault(name, set()).add(other)
                found.setdefault(other, set()).add(name)
    return {name: frozenset(others) for name, others in found.items()}


def bundles_of(groups: Mapping[GroupName, ServiceGroup], apart: Apart, wanted: Iterable[GroupName]) -> Sequence[Bundle]:
    """The bundles of the `wanted` groups, by priority and then by name. A contradiction (apart) unties a bundle."""
    chosen = set(wanted)
    united = _unite(groups, chosen)
    bundles = []
    for members in united:
        if len(members) > 1 and any(apart.get(name, frozenset()) & members for name in members):
            bundles += [_bundle(groups, {name}) for name in members]
        else:
            bundles.append(_bundle(groups, members))
    return sorted(bundles, key=lambda bundle: (-bundle.priority, bundle.lead))


def _unite(groups: Mapping[GroupName, ServiceGroup], chosen: set[GroupName]) -> Iterable[set[GroupName]]:
    """Connected sets of `together`."""
    member_of: dict[GroupName, set[GroupName]] = {name: {name} for name in chosen}
    for name in chosen:
        for other in groups[name].together & chosen:
            one, two = member_of[name], member_of[other]
            if one is not two:
                one |= two
                member_of.update(dict.fromkeys(two, one))
    return {id(members): members for members in member_of.values()}.values()


def _bundle(groups: Mapping[GroupName, ServiceGroup], members: set[GroupName]) -> Bundle:
    ordered = sorted(members, key=lambda name: (-groups[name].priority, name))
    return Bundle(tuple(ordered), groups[ordered[0]].priority)
