"""What a benchmark hands back: tables and notes for people, figures for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.figures import Figure
from tests.bench.rounds import short
from tests.bench.table import table


@dataclass(frozen=True)
class Section:
    """A table with a heading, and what is to know about it."""

    heading: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        return "\n".join([self.heading, "", table(self.header, self.rows), *self.notes, ""])


@dataclass
class Report:
    """The result of one benchmark."""

    title: str
    sections: list[Section] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def __str__(self) -> str:
        with_bars = [each for each in self.figures if each.bar]
        rows = [[each.name, short(each.value), each.unit, str(each.bar), each.verdict()] for each in with_bars]
        verdict = Section("Bars", ["figure", "value", "unit", "bar", ""], rows)
        return "\n".join([self.title, "", *map(str, self.sections), str(verdict)])
