"""Boots and failed units as systemd writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.node.boots import BootRecord, FailedUnit, parse_boots, parse_failed_units

ID = "a968d475fa644c99a459bc68b93abbbe"
OLD = f" -1 {ID} Tue 2024-01-02 03:04:05 UTC—Wed 2024-01-03 03:04:05 UTC\n"
NEW = (
    "IDX BOOT ID                          FIRST ENTRY                 LAST ENTRY\n"
    f" -1 {ID} Tue 2024-01-02 03:04:05 UTC Wed 2024-01-03 03:04:05 UTC\n"
)


@pytest.mark.parametrize("text", [OLD, NEW], ids=["a dash between", "with a heading"])
def test_boots_are_read_from_either_form(text: str) -> None:
    first, last = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2024, 1, 3, 3, 4, 5, tzinfo=UTC)
    assert parse_boots(text) == (BootRecord(-1, ID, first, last),)


def test_failed_units_are_named_with_what_they_are() -> None:
    text = '[{"unit":"a.service","load":"loaded","active":"failed","sub":"failed","description":"The A"},{"x":1}]'
    assert parse_failed_units(text) == (FailedUnit("a.service", "The A"),)
    assert parse_failed_units("") == parse_failed_units("{}") == ()


@given(st.text(max_size=200))
def test_no_text_breaks_the_readers(text: str) -> None:
    parse_boots(text)
    parse_failed_units(text)
