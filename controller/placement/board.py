"""Who is where while placement decides.

A group on its way counts at both ends: it leaves its place only when it has stopped there. So nothing is put where
it would have to wait for another one's departure.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from appliance.cluster.names import GroupName, NodeName
from controller.placement.bundles import Apart, Bundle
from controller.placement.situation import Situation

_Signature = tuple[tuple[NodeName, ...], tuple[tuple[str, str], ...]]
#: Nodes of equal preference, the one with the fewest groups first; the counts may be out of date.
_Tier = list[tuple[int, NodeName]]


class Board:
    """Mutable while one decision is made, and never seen outside of it."""

    def __init__(self, situation: Situation, apart: Apart) -> None:
        self._situation = situation
        self._apart = apart
        #: Where groups are or will be, at both ends of a move.
        self.present: dict[NodeName, set[GroupName]] = {}
        #: Where groups will be, as far as it is decided.
        self.final: dict[NodeName, set[GroupName]] = {}
        self._tiers: dict[_Signature, list[_Tier]] = {}
        for group, node in situation.running.items():
            if group in situation.groups:
                self.present.setdefault(node, set()).add(group)

    def settle(self, bundle: Bundle, node: NodeName) -> None:
        """All of the bundle will be there."""
        for group in bundle.groups:
            self.settle_one(group, node)

    def settle_one(self, group: GroupName, node: NodeName) -> None:
        """One group will be there."""
        self.present.setdefault(node, set()).add(group)
        self.final.setdefault(node, set()).add(group)

    def forget(self, bundle: Bundle, node: NodeName) -> None:
        """The bundle was decided to be there, and will not."""
        self.final.get(node, set()).difference_update(bundle.groups)

    def load(self, node: NodeName) -> int:
        """How many groups the node has or will have at most."""
        return len(self.present.get(node, ())) + self._situation.burden.get(node, 0)

    def may_stay(self, bundle: Bundle, node: NodeName) -> bool:
        """Whether nobody more important is there from whom the bundle must be apart."""
        there = self.final.get(node, set())
        return not any(self._apart.get(group, frozenset()) & there for group in bundle.groups)

    def over_limit(self, node: NodeName) -> bool:
        """Whether the node will own more groups than it may."""
        most = self._situation.nodes[node].most_groups if node in self._situation.nodes else None
        if most is None:
            return False
        return len(self.final.get(node, ())) + self._situation.burden.get(node, 0) > most

    def has_room(self, bundle: Bundle, node: NodeName) -> bool:
        """Whether the node has room for those of the bundle that are not there, and nobody in their way."""
        there = self.present.get(node, set())
        most = self._situation.nodes[node].most_groups
        if most is not None and self.load(node) + len(set(bundle.groups) - there) > most:
            return False
        return not any(self._apart.get(group, frozenset()) & there for group in bundle.groups)

    def fits(self, bundle: Bundle, node: NodeName) -> bool:
        """Whether the node could take all of the bundle."""
        return all(self._situation.fits(group, node) for group in bundle.groups)

    def best(self, bundle: Bundle, *, without: Iterable[NodeName] = (), drained: bool = True) -> NodeName | None:
        """The node to put the bundle on: by preference, then the emptiest; drained nodes only when nothing else is.

        Nodes on which it would be ready at once go before the others.
        """
        banned = {*without, *(() if drained else self._situation.drained)}
        for cold in (False, True):
            for tier in self._tiers_of(bundle.lead):
                for node in self._in_order(tier):
                    usable = node not in banned and self._is_cold(bundle, node) is cold
                    if usable and self.fits(bundle, node) and self.has_room(bundle, node):
                        return node
        return None

    def rank(self, group: GroupName, node: NodeName) -> int:
        """How much the group prefers the node: 0 is the most."""
        if self._situation.wished(group) == node:
            return -1
        candidates = self._situation.groups[group].candidates
        return candidates.index(node) if node in candidates else len(candidates)

    def preferred(self, bundle: Bundle) -> Iterator[tuple[int, list[NodeName]]]:
        """Ranks and the ready nodes of each, best first, without drained ones."""
        wished = self._situation.wished(bundle.lead)
        if wished is not None and wished not in self._situation.drained and self.fits(bundle, wished):
            yield -1, [wished]
        for rank, tier in enumerate(self._tiers_of(bundle.lead)):
            nodes = [node for _, node in tier if node not in self._situation.drained and self.fits(bundle, node)]
            if nodes:
                yield rank, nodes

    def _is_cold(self, bundle: Bundle, node: NodeName) -> bool:
        return any((group, node) in self._situation.cold for group in bundle.groups)

    def _in_order(self, tier: _Tier) -> Iterator[NodeName]:
        """The nodes of a tier, the emptiest first. What was taken out is put back, with its count of now."""
        taken = []
        try:
            while tier:
                count, node = heapq.heappop(tier)
                if count != self.load(node):
                    heapq.heappush(tier, (self.load(node), node))
                    continue
                taken.append(node)
                yield node
        finally:
            for node in taken:
                heapq.heappush(tier, (self.load(node), node))

    def _tiers_of(self, group: GroupName) -> list[_Tier]:
        """Nodes by preference: each candidate, the others that may, and the same once more for drained ones."""
        spec = self._situation.groups[group]
        signature = (spec.candidates, tuple(sorted(spec.labels.items())))
        if signature not in self._tiers:
            named = [[node] for node in dict.fromkeys(spec.candidates)]
            others = [node for node in self._situation.ready if node not in spec.candidates]
            tiers = []
            for drained in (False, True):
                for nodes in (*named, others):
                    tier = [
                        (self.load(node), node)
                        for node in nodes
                        if (node in self._situation.drained) is drained and self._situation.allowed(group, node)
                    ]
                    heapq.heapify(tier)
                    tiers.append(tier)
            self._tiers[signature] = tiers
        return self._tiers[signature]
