"""Figures and their bars: what a benchmark promises, and what it writes to build/bench/NAME.json."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_HOLDS: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Bar:
    """A bound that a value has to keep, as in `Bar(">=", 0.95)`."""

    relation: str
    limit: float

    def met(self, value: float) -> bool:
        """Whether the value keeps it; a value that is no number does not."""
        return bool(_HOLDS[self.relation](value, self.limit))

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One number of a benchmark. Without a bar it is reported beside."""

    name: str
    value: float
    unit: str
    bar: Bar | None = None

    @property
    def met(self) -> bool | None:
        """Whether its bar is met; None without one."""
        return self.bar.met(self.value) if self.bar else None

    def verdict(self) -> str:
        """What the table says of it."""
        return {None: "", True: "met", False: "NOT MET"}[self.met]


def as_json(figures: Iterable[Figure]) -> str:
    """The list that build/bench/NAME.json holds; `bar` and `met` are null for figures that have none."""
    rows = [
        {
            "figure": each.name,
            "value": float(f"{each.value:.4g}"),
            "unit": each.unit,
            "bar": str(each.bar) if each.bar else None,
            "met": each.met,
        }
        for each in figures
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
