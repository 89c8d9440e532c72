"""Where every group should be.

Three passes, each by priority: who has a home keeps it; who has none gets one; then who should rather be elsewhere
moves, few at a time. A group that runs is never stopped for somebody else's sake, but for one rule: groups that must
be apart are never together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.cluster.model import FailbackPolicy
from appliance.cluster.names import GroupName, NodeName
from controller.placement.board import Board
from controller.placement.bundles import Bundle, apart_of, bundles_of
from controller.placement.situation import WISH, Choice, Policy, Situation, Why
from controller.placement.window import within

Choices = dict[GroupName, Choice]


def place(situation: Situation, policy: Policy = Policy()) -> Choices:  # noqa: B008 - frozen
    """The choice for every group. Deciding again, with these choices in force, changes nothing."""
    return _Decision(situation, policy).made()


@dataclass
class _Decision:
    situation: Situation
    policy: Policy
    choices: Choices = field(default_factory=dict)

    def made(self) -> Choices:
        situation = self.situation
        apart = apart_of(situation.groups)
        self.board = Board(situation, apart)
        stopped = [group for group in situation.groups if situation.stopped(group)]
        bundles = bundles_of(situation.groups, apart, situation.groups.keys() - set(stopped))
        self.choices.update(dict.fromkeys(stopped, Choice(None, Why.STOPPED)))
        self.home = {group: situation.home(group) for group in situation.groups}
        self.budget = self.policy.moves_at_once - sum(
            self.home[group] not in (node, None) for group, node in situation.running.items() if group in self.home
        )
        for group, node in self.home.items():
            if node is not None and group not in self.choices:
                self.board.present.setdefault(node, set()).add(group)
        settled = [bundle for bundle in bundles if self._keep(bundle)]
        for bundle in bundles:
            if bundle.lead not in self.choices:
                self._find_home(bundle)
        for bundle in settled:
            self._maybe_move(bundle)
        for bundle in reversed(settled):
            self._relieve(bundle)
        for bundle in bundles:
            self._let_stay(bundle)
        return self.choices

    # --- staying ------------------------------------------------------------------------------------------

    def _keep(self, bundle: Bundle) -> bool:
        """Keep the bundle where all of it is at home, if it may be there; return whether it was kept."""
        homes = {self.home[group] for group in bundle.groups}
        node = next(iter(homes))
        if len(homes) > 1 or node is None or not self.board.may_stay(bundle, node):
            return False
        self._choose(bundle, node, Why.STAYS)
        return True

    def _choose(self, bundle: Bundle, node: NodeName, why: Why) -> None:
        self.board.settle(bundle, node)
        for group in bundle.groups:
            reason = Why.STAYS if node == self.home[group] else why
            self.choices[group] = Choice(node, reason, self._fulfilled(group, node))

    def _fulfilled(self, group: GroupName, node: NodeName) -> int:
        """The revision of the wish that has been followed once the group is on `node`."""
        seen, placed = self.situation.wishes.get(group), self.situation.placed.get(group)
        if seen is None or seen.wish.node is None:
            return 0
        if seen.wish.node == node:
            return seen.revision
        return seen.revision if placed is not None and placed.facts.get(WISH) == seen.revision else 0

    # --- finding a home -----------------------------------------------------------------------------------

    def _find_home(self, bundle: Bundle) -> None:
        """For a bundle that is nowhere, in several places, or beside somebody from whom it must be apart."""
        homes = [home for group in bundle.groups if (home := self.home[group]) is not None]
        misplaced = len(set(homes)) == 1 and len(homes) == len(bundle.groups)
        if not misplaced:
            for wanted in self._wanted_first(bundle, homes):
                if self._may_go(bundle, wanted):
                    return self._gather(bundle, wanted, Why.TOGETHER if homes else Why.WISH)
        found = self.board.best(bundle, without=homes if misplaced else ())
        if found is not None:
            why = Why.APART if misplaced else Why.TOGETHER if homes else Why.HOME
            return self._choose(bundle, found, why)
        return self._make_do(bundle)

    def _gather(self, bundle: Bundle, node: NodeName, why: Why) -> None:
        """Bring the bundle together on `node`, or at once where all of it would go back to from there."""
        back = self._failback(bundle, node) if why is Why.TOGETHER and self._leisure(bundle) else None
        if back is None:
            return self._choose(bundle, node, why)
        self.budget -= len(bundle.groups)
        return self._choose(bundle, back, Why.FAILBACK)

    def _wanted_first(self, bundle: Bundle, homes: list[NodeName]) -> Iterator[NodeName]:
        """The node where most of the bundle is, or the operator's wish for a bundle that is nowhere."""
        yield from sorted(set(homes), key=lambda node: (-homes.count(node), node))
        wished = self.situation.wished(bundle.lead)
        if wished is not None and not homes and wished not in self.situation.drained:
            yield wished

    def _may_go(self, bundle: Bundle, node: NodeName) -> bool:
        return self.board.fits(bundle, node) and self.board.has_room(bundle, node)

    def _make_do(self, bundle: Bundle) -> None:
        """Nowhere is room for all of it: what runs goes on where it may, the rest is nowhere."""
        for group in bundle.groups:
            alone = Bundle((group,), bundle.priority)
            node = self.home[group]
            if node is not None and self.board.may_stay(alone, node):
                self._choose(alone, node, Why.STAYS)
            else:
                able = any(self.situation.fits(group, name) for name in self.situation.ready)
                self.choices[group] = Choice(None, Why.NO_ROOM if able else Why.NO_NODE)

    def _let_stay(self, bundle: Bundle) -> None:
        """Who was to leave for somebody that moves away itself may stay after all."""
        for group in bundle.groups:
            alone, node = Bundle((group,), bundle.priority), self.home[group]
            if self.choices[group].node is None and node is not None and self.board.may_stay(alone, node):
                self._choose(alone, node, Why.STAYS)

    # --- moving -------------------------------------------------------------------------------------------

    def _maybe_move(self, bundle: Bundle) -> None:
        """Move a bundle that would better be elsewhere, if there is a place and the cluster has leisure."""
        here = self.home[bundle.lead]
        assert here is not None
        wished = self._new_wish(bundle)
        if wished not in (here, None) and self._may_go(bundle, wished):
            return self._move(bundle, here, wished, Why.WISH)
        if self._on_its_way(bundle, here):
            return None
        for why, goal in self._motives(bundle, here):
            if goal is not None and goal != here:
                if why is Why.UNFIT or self._leisure(bundle):
                    self._move(bundle, here, goal, why)
                return None
        return None

    def _on_its_way(self, bundle: Bundle, here: NodeName) -> bool:
        return any(self.situation.running.get(group) not in (here, None) for group in bundle.groups)

    def _relieve(self, bundle: Bundle) -> None:
        """A node that owns more than it may gives the least important away, as far as others have room."""
        here = self.choices[bundle.lead].node
        if here is None or here != self.home[bundle.lead] or self._on_its_way(bundle, here):
            return
        if self.board.over_limit(here) and self._leisure(bundle):
            goal = self.board.best(bundle, without=[here], drained=False)
            if goal is not None:
                self._move(bundle, here, goal, Why.LIMIT)

    def _new_wish(self, bundle: Bundle) -> NodeName | None:
        """A node on which the operator wants it and where it was not yet; a drained node is wanted empty."""
        for group in bundle.groups:
            wished = self.situation.wished(group)
            if wished is None or wished in self.situation.drained or not self.situation.has_new_wish(group):
                continue
            if self.board.fits(bundle, wished):
                return wished
        return None

    def _motives(self, bundle: Bundle, here: NodeName) -> Iterator[tuple[Why, NodeName | None]]:
        """Why it should leave, the gravest first, and for where."""
        situation, board = self.situation, self.board
        if any((group, here) in situation.unfit for group in bundle.groups):
            yield Why.UNFIT, board.best(bundle, without=[here])
        if not all(situation.allowed(group, here) for group in bundle.groups):
            yield Why.NOT_ALLOWED, board.best(bundle, without=[here])
        if here in situation.drained:
            upgraded = board.best(bundle, without=[here, *situation.behind], drained=False)
            yield Why.DRAINED, upgraded or board.best(bundle, without=[here], drained=False)
        yield Why.FAILBACK, self._failback(bundle, here)

    def _failback(self, bundle: Bundle, here: NodeName) -> NodeName | None:
        """The most preferred node that is ready, if it is better than `here` and has been well for long enough."""
        policy = self.situation.groups[bundle.lead].failback
        if policy.policy is FailbackPolicy.MANUAL or here in self.situation.drained:
            return None
        if policy.policy is FailbackPolicy.WINDOW and not within(policy.window, self.situation.minute):
            return None
        rank, nodes = next(self.board.preferred(bundle), (0, []))
        if not nodes or rank >= self.board.rank(bundle.lead, here):
            return None
        ripe = [node for node in nodes if self.situation.ready[node] >= policy.settle]
        if here not in self.situation.behind:  # an upgrade would send it away again
            ripe = [node for node in ripe if node not in self.situation.behind]
        room = [node for node in ripe if self.board.has_room(bundle, node)]
        return min(room, key=lambda node: (self.board.load(node), node), default=None)

    def _leisure(self, bundle: Bundle) -> bool:
        """Whether so many more may be on their way; a bundle larger than that goes when nothing else does."""
        return self.budget >= min(len(bundle.groups), self.policy.moves_at_once)

    def _move(self, bundle: Bundle, here: NodeName, goal: NodeName, why: Why) -> None:
        self.budget -= len(bundle.groups)
        self.board.forget(bundle, here)
        self._choose(bundle, goal, why)
