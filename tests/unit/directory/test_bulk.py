"""CSV files of mailboxes: what is read, what is refused and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.directory.bulk import COLUMNS, Row, rows
from appliance.errors import BadInput


def test_columns_may_come_in_any_order_and_only_the_address_is_needed() -> None:
    text = ["Quota, ADDRESS ,name\n", '5G,alice@example.com,"Liddell, Alice"\n', ",bob@example.com\n", "\n"]
    assert list(rows(text)) == [
        Row(2, "alice@example.com", name="Liddell, Alice", quota="5G"),
        Row(3, "bob@example.com"),
    ]


def test_a_password_keeps_its_spaces_and_is_not_shown() -> None:
    (row,) = rows(["address,password\n", "a@example.com, with spaces \n"])
    assert row.password == " with spaces "
    assert "spaces" not in repr(row)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ([], "bulk-heading"),
        (["name,quota\n"], "bulk-heading"),
        (["address,address\n"], "bulk-heading"),
        (["address,colour\n"], "bulk-heading"),
        (["address\n", "a@example.com,more\n"], "bulk-bad-row"),
        (["address,name\n", f"a@example.com,{'x' * 5000}\n"], "bulk-bad-row"),
        (["address\n", '"a\n'], "bulk-not-csv"),
        (["address\n", "x" * 200_000 + "\n"], "bulk-not-csv"),
    ],
)
def test_what_is_no_such_file_is_refused(text: list[str], key: str) -> None:
    with pytest.raises(BadInput) as refusal:
        list(rows(text))
    assert refusal.value.key == key
    assert str(refusal.value).startswith("file: ")


@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_text_is_read_or_refused(lines: list[str]) -> None:
    try:
        for row in rows([",".join(COLUMNS) + "\n", *lines]):
            assert row.line > 1
    except BadInput as refusal:
        told = str(refusal)
        assert told.startswith("file: ")
