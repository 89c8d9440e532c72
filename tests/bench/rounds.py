"""The order of interleaved rounds, and what is made of their measurements.

A machine's speed drifts (neighbours, caches, a disk's journal), so the two sides take
turns A B, B A, A B …, each pair gives one ratio of neighbours in time, and the middle
of those ratios counts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def pairs(first: T, second: T, rounds: int) -> Iterator[tuple[T, T]]:
    """The two sides, once in each round, the leading one changing: A B, B A, A B …"""
    for number in range(rounds):
        yield (first, second) if number % 2 == 0 else (second, first)


@dataclass(frozen=True)
class Spread:
    """A median between its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value; of one or two, the quartiles are the extremes."""
        if len(values) < 3:
            return cls(min(values), statistics.median(values), max(values))
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.low)}–{short(self.high)})"


def short(value: float) -> str:
    """A number with three significant digits, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def paired_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratio of each round. Raises ValueError when the two differ in length."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def geometric_means(rows: Sequence[Sequence[float]]) -> list[float]:
    """For each round the geometric mean over several operations' ratios; rows are operations, columns rounds."""
    return [statistics.geometric_mean(column) for column in zip(*rows, strict=True)]


def percentile(values: Iterable[float], percent: float) -> float:
    """The value that `percent` of them do not exceed (nearest rank). Raises ValueError when there is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
