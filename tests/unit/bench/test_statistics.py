"""The statistics and tables of the benchmarks; nothing is measured here."""

from __future__ import annotations

import json
import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import Bar, Figure, as_json
from tests.bench.report import Report, Section
from tests.bench.rounds import Spread, geometric_means, paired_ratios, pairs, percentile, short
from tests.bench.table import table

_numbers = st.floats(min_value=1e-6, max_value=1e6)


def test_rounds_alternate_and_each_side_leads_as_often() -> None:
    assert list(pairs("A", "B", 4)) == [("A", "B"), ("B", "A"), ("A", "B"), ("B", "A")]


@given(st.lists(_numbers, min_size=1))
def test_the_median_lies_between_its_quartiles(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.low <= spread.median <= spread.high
    assert spread.median == median(values)


def test_a_drift_of_the_whole_machine_leaves_the_ratio_alone() -> None:
    bare = [100.0, 50.0, 200.0, 25.0, 80.0, 160.0, 40.0]
    ours = [2 * value for value in bare]
    assert Spread.of(paired_ratios(ours, bare)) == Spread(2.0, 2.0, 2.0)


def test_sides_of_different_length_make_no_ratio() -> None:
    with pytest.raises(ValueError, match="longer"):
        paired_ratios([1.0], [1.0, 2.0])


def test_the_mean_of_a_ratio_and_its_inverse_is_one() -> None:
    assert geometric_means([[2.0, 1.0], [0.5, 1.0]]) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0, 1), (99.5, 100)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert percentile(range(100, 0, -1), percent) == expected


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123456, "0.0123"),
        (0.95, "0.950"),
        (1.5, "1.50"),
        (23.456, "23.5"),
        (4711, "4,711"),
        (math.inf, "inf"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("bar", "value", "met"),
    [
        (Bar(">=", 0.95), 0.95, True),
        (Bar(">=", 0.95), 0.9499, False),
        (Bar("<", 10), 10.0, False),
        (Bar("<=", 5), 5.0, True),
        (Bar(">", 1), 1.5, True),
        (Bar(">=", 4), math.nan, False),
    ],
)
def test_a_bar_is_met_or_not(bar: Bar, value: float, met: bool) -> None:
    assert Figure("x", value, "ratio", bar).met is met


def test_figures_are_written_for_machines() -> None:
    figures = [Figure("login", 4.56789, "ratio", Bar(">=", 4)), Figure("beside", 12.0, "ms")]
    assert json.loads(as_json(figures)) == [
        {"figure": "login", "value": 4.568, "unit": "ratio", "bar": ">= 4", "met": True},
        {"figure": "beside", "value": 12.0, "unit": "ms", "bar": None, "met": None},
    ]


def test_a_table_lines_up_and_is_markdown() -> None:
    assert table(["load", "rate"], [["20 sessions", "411"], ["1", "1,228"]]).splitlines() == [
        "| load        |  rate |",
        "|-------------|------:|",
        "| 20 sessions |   411 |",
        "| 1           | 1,228 |",
    ]


def test_a_table_of_rows_of_different_length_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        table(["a", "b"], [["only one"]])


def test_a_report_names_a_bar_that_is_not_met() -> None:
    section = Section("Rates", ["load", "rate"], [["one", "2"]], ["A note."])
    report = Report("Title", [section], [Figure("speed", 0.5, "ratio", Bar(">=", 0.95)), Figure("beside", 1, "ms")])
    text = str(report)
    assert "A note." in text
    bars = [line for line in text.splitlines() if ">= 0.95" in line]
    assert len(bars) == 1
    assert bars[0].split("|")[-2].strip() == "NOT MET"
