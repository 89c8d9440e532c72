"""Sizes and durations: exact both ways."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.settings.units import about_size, format_duration, format_size, parse_duration, parse_size


@given(st.integers(min_value=0, max_value=2**63))
def test_a_written_size_reads_back_exactly(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(min_value=0, max_value=10**11))
def test_a_written_duration_reads_back_exactly(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(max_size=40))
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_size(text) >= 0


@given(st.text(alphabet="0123456789wdhms ", max_size=40))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("25M", 25 * 2**20),
        (" 4 GiB ", 4 * 2**30),
        ("1.5g", 1536 * 2**20),
        ("64kb", 65536),
        ("0.5k", 512),
        ("10b", 10),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1e3", "0.1", "1.3K", "1,5M", "٣M", "1M2", "9" * 30, "nan", "1_000"])
def test_what_is_no_exact_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("5m", 300), ("1h30m", 5400), ("1w 2d", 777600), ("30D", 2592000)]
)
def test_durations_as_people_write_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5 minutes", "30m1h", "1h1h", "-5m", "1.5h", "1h30"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "0.999 KiB"), (999, "999 B"), (25 * 2**20, "25 MiB"), (4_100_000_000, "3.82 GiB")],
)
def test_sizes_for_reading_are_rounded(size: int, text: str) -> None:
    assert about_size(size) == text
