"""What of the conditions that come and go is told: not a flicker, not the same thing over and over. Pure.

A condition is told after it stood for `raise_after`, told again every `repeat`, and its end after it was away for
`clear_after`. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from appliance.cluster.names import Seconds
from appliance.cluster.report import Notice


class Kind(StrEnum):
    """What a message says of its condition."""

    RAISED = "raised"
    STILL = "still"
    CLEARED = "cleared"
    TEST = "test"


@dataclass(frozen=True)
class Patience:
    """In seconds."""

    raise_after: Seconds = Seconds(30.0)
    clear_after: Seconds = Seconds(60.0)
    repeat: Seconds = Seconds(4 * 3600.0)


@dataclass(frozen=True)
class Message:
    """One thing to tell. `stood`: for how many seconds the condition has stood."""

    name: str
    kind: Kind
    notice: Notice
    stood: float


@dataclass(frozen=True)
class Condition:
    """One condition: since when it stands, or since when it is away, and when it was told last (None: not yet)."""

    notice: Notice
    since: float
    told: float | None = None
    away: float | None = None


@dataclass(frozen=True)
class Alarms:
    """Every condition that stands, or whose end is not told yet, by name."""

    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def step(
        self, standing: Mapping[str, Notice], now: float, patience: Patience
    ) -> tuple[Alarms, tuple[Message, ...]]:
        """Take in what stands now; return the state after it, and what is to be told."""
        after: dict[str, Condition] = {}
        messages: list[Message] = []
        for name, notice in standing.items():
            known = self.conditions.get(name)
            condition = Condition(notice, now) if known is None else replace(known, notice=notice, away=None)
            kind = _due(condition, now, patience)
            if kind is not None:
                condition = replace(condition, told=now)
                messages.append(Message(name, kind, notice, now - condition.since))
            after[name] = condition
        for name in self.conditions.keys() - standing.keys():
            known = self.conditions[name]
            away = now if known.away is None else known.away
            if known.told is None:
                continue  # a flicker, or not long enough to tell
            if now - away < patience.clear_after:
                after[name] = replace(known, away=away)
            else:
                messages.append(Message(name, Kind.CLEARED, known.notice, away - known.since))
        return Alarms(after), tuple(sorted(messages, key=lambda each: each.name))


def _due(condition: Condition, now: float, patience: Patience) -> Kind | None:
    if condition.told is None:
        return Kind.RAISED if now - condition.since >= patience.raise_after else None
    return Kind.STILL if now - condition.told >= patience.repeat else None
