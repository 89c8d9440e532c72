"""Asks placement when something changed, and writes what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from appliance.cluster import keys
from appliance.cluster.decided import Placement
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Delete, Put
from controller.cases import Known, SessionName
from controller.election import Led
from controller.events import DecisionLog
from controller.patience import Pair
from controller.placement.decide import place
from controller.placement.releases import behind
from controller.placement.situation import WISH, Choice, Policy, SeenWish, Situation, Why

#: Time alone may change a decision (failback): it is made anew after this, whatever happens.
DECIDE_EVERY = Seconds(5.0)
_AT_ONCE = 50


def situation(
    known: Known,
    placed: Mapping[GroupName, Placement],
    running: Mapping[GroupName, NodeName],
    unfit: frozenset[Pair],
    cold: frozenset[Pair],
) -> Situation:
    """The facts for placement, but for what time changes: how long nodes have been well, and the clock."""
    burden: dict[NodeName, int] = {}
    for group, owner in known.look.owners.items():
        if group not in known.groups:
            burden[owner.record.node] = burden.get(owner.record.node, 0) + 1
    return Situation(
        groups=known.groups,
        nodes=known.view.facts(keys.NODES),
        ready=dict.fromkeys(known.usable & known.view.table(keys.NODES).keys(), 0.0),
        running=running,
        placed=placed,
        wishes={
            group: SeenWish(seen.fact, seen.revision)
            for name, seen in known.view.table(keys.WISHES).items()
            if (group := GroupName(name)) in known.groups
        },
        drained=frozenset(map(NodeName, known.view.table(keys.DRAINED))),
        unfit=unfit,
        cold=cold,
        behind=behind({name: report.release for name, report in known.view.facts(keys.STATUS).items()}),
        burden=burden,
    )


def running(known: Known, healthy: frozenset[SessionName]) -> dict[GroupName, NodeName]:
    """The groups in good hands, and whose."""
    return {
        group: owner.record.node
        for group, owner in known.look.owners.items()
        if group in known.groups and (owner.record.node, owner.record.session_epoch) in healthy
    }


@dataclass
class Placing:
    """The leader's placements; `goals` are those in force. What it wrote itself it does not wait to see again."""

    log: DecisionLog
    placed: dict[GroupName, Placement] = field(default_factory=dict)
    _last: Situation | None = None
    _policy: Policy = Policy()  # noqa: RUF009 - frozen
    _decided: float = 0.0

    def take_over(self, placements: Mapping[GroupName, Placement]) -> None:
        """A leadership begins: what another leader placed stays."""
        self.placed = dict(placements)
        self._last = None

    @property
    def goals(self) -> dict[GroupName, NodeName | None]:
        """Where every group should be."""
        return {group: placement.node for group, placement in self.placed.items()}

    def step(self, led: Led, facts: Situation, well: Mapping[NodeName, float], now: float, policy: Policy) -> None:
        """Decide if something changed, and write. Raises StoreUnavailable, NotLeading."""
        facts = replace(facts, placed=self.placed)
        if (facts, policy) == (self._last, self._policy) and now - self._decided < DECIDE_EVERY:
            return
        local = datetime.now().astimezone()
        timed = replace(
            facts,
            ready={node: now - well.get(node, now) for node in facts.ready},
            minute=60 * local.hour + local.minute,
        )
        self._write(led, place(timed, policy))
        self._last, self._policy, self._decided = replace(facts, placed=self.placed), policy, now

    def forget(self, led: Led, known: Known) -> None:
        """Groups that are wanted no more need no placement. Raises StoreUnavailable, NotLeading."""
        groups, unreadable = known.view.table(keys.GROUPS), known.view.unreadable
        for group in [name for name in self.placed if name not in groups and keys.group(name) not in unreadable]:
            led.must_write([Delete(keys.placement(group))])
            self.placed.pop(group)

    def _write(self, led: Led, choices: Mapping[GroupName, Choice]) -> None:
        changed = {
            group: record(group, choice) for group, choice in choices.items() if differs(self.placed.get(group), choice)
        }
        names = list(changed)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            led.must_write([Put(keys.placement(name), changed[name].model_dump_json()) for name in some])
            for name in some:
                self._tell(self.placed.get(name), changed[name])
                self.placed[name] = changed[name]

    def _tell(self, before: Placement | None, after: Placement) -> None:
        if before is not None and before.node == after.node and before.reason == after.reason:
            return
        facts = {name: value for name, value in after.facts.items() if name != WISH}
        lost = after.node is None and after.reason != Why.STOPPED
        self.log.tell(after.reason, group=after.group, node=after.node, facts=facts, grave=lost)


def record(group: GroupName, choice: Choice) -> Placement:
    """The placement to write."""
    facts: dict[str, str | int | float] = {"to": choice.node or "-"}
    if choice.wish:
        facts[WISH] = choice.wish
    return Placement(group=group, node=choice.node, reason=choice.why.value, facts=facts)


def differs(before: Placement | None, choice: Choice) -> bool:
    """Whether the placement has to be written: another node, another wish, or nowhere for another reason."""
    if before is None or before.node != choice.node or before.facts.get(WISH, 0) != choice.wish:
        return True
    return choice.node is None and before.reason != choice.why
