"""Accounts from CSV: encodings, delimiters, headings in four languages, and rows that are refused alone."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadInput
from appliance.migration.accounts import table
from appliance.migration.accounts.record import Account, BadRow, Row


def rows(text: str | bytes, domain: str | None = None, encoding: str | None = None) -> list[Row]:
    data = text.encode() if isinstance(text, str) else text
    return list(table.read(data, encoding).rows(domain))


def account(text: str | bytes, domain: str | None = None) -> Account:
    (row,) = rows(text, domain)
    assert isinstance(row, Account), row
    return row


def refused(text: str, domain: str | None = None) -> BadRow:
    (row,) = rows(text, domain)
    assert isinstance(row, BadRow), row
    return row


def test_every_column_is_understood() -> None:
    row = account(
        "Email,Display Name,Password,Quota,Aliases,Forward,Status\n"
        'li@example.com,李 雷,correct horse,2G,"lilei@example.com; ll",boss@example.net,active\n'
    )
    assert row.line == 2
    assert row.address == "li@example.com"
    assert row.name == "李 雷"
    assert row.password is not None
    assert row.password.clear == "correct horse"
    assert row.quota == 2 * 2**30
    assert row.aliases == ("lilei@example.com", "ll@example.com")
    assert row.forwards == ("boss@example.net",)
    assert row.enabled


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    text = "address,name,quota\na@example.com,Ann,1G\nb@example.com,Bob,2G\n".replace(",", delimiter)
    first, second = rows(text)
    assert isinstance(first, Account)
    assert isinstance(second, Account)
    assert (first.name, second.quota) == ("Ann", 2**31)


def test_the_hint_that_excel_writes_is_honoured() -> None:
    (row,) = rows("sep=|\nemail|name\na@example.com|Smith, Ann; Dr\n")
    assert isinstance(row, Account)
    assert (row.name, row.line) == ("Smith, Ann; Dr", 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_chinese_tables_are_read_in_the_encodings_that_spreadsheets_write(encoding: str) -> None:
    row = account("邮箱,姓名,容量(MB),状态\r\nwang@example.com,王小明㐂,500,停用\r\n".encode(encoding))
    assert row.name == "王小明㐂"
    assert row.quota == 500 * 2**20
    assert not row.enabled


def test_another_encoding_can_be_named() -> None:
    (row,) = rows("信箱,姓名\nchen@example.com,陳\n".encode("big5"), encoding="big5")
    assert isinstance(row, Account)
    assert row.name == "陳"


def test_text_in_no_known_encoding_is_refused_with_its_line() -> None:
    with pytest.raises(BadInput) as caught:
        table.read(b"email,name\na@example.com,\xff\xff\n")
    assert caught.value.facts["line"] == 2
    with pytest.raises(BadInput, match="latin-17"):
        table.read(b"email\n", "latin-17")


def test_a_binary_file_is_refused() -> None:
    with pytest.raises(BadInput):
        table.read(b"email\0name\n")


def test_a_heading_without_addresses_is_refused_and_shown() -> None:
    with pytest.raises(BadInput, match=r"a@example\.com"):
        table.read(b"a@example.com,secret\n")
    with pytest.raises(BadInput):
        table.read(b"")


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises(BadInput):
        table.read(b"email,user,name\na,b,c\n")


def test_unknown_columns_are_told() -> None:
    assert table.read("email,部门,name\n".encode()).ignored == ("部门",)


def test_bare_names_are_completed_by_their_domain_column_or_the_given_domain() -> None:
    assert account("user,domain\nann,example.org\n", "example.com").address == "ann@example.org"
    assert account("user,domain\nann,\n", "example.com").address == "ann@example.com"
    assert refused("user\nann\n").problem.key == "migrate-no-domain"


@pytest.mark.parametrize(
    ("heading", "value", "key"),
    [
        ("quota", "lots", "migrate-bad-quota"),
        ("quota", "-5", "migrate-bad-quota"),
        ("status", "perhaps", "migrate-bad-status"),
        ("status", "deleted", "migrate-deleted-there"),
        ("name", "x" * 70000, "migrate-cell-too-long"),
    ],
)
def test_a_bad_value_refuses_its_row_and_says_why(heading: str, value: str, key: str) -> None:
    row = refused(f"email,{heading}\na@example.com,{value}\n")
    assert (row.line, row.address, row.problem.key) == (2, "a@example.com", key)
    assert str(row.problem)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("", None),
        ("0", 0),
        ("unlimited", 0),
        ("无限制", 0),
        ("1048576", 2**20),
        ("1.5G", 3 * 2**29),
        ("100000S,10C", 10**5),
    ],
)
def test_quotas_are_read_as_people_and_systems_write_them(said: str, size: int | None) -> None:
    assert account(f'email,quota\na@example.com,"{said}"\n').quota == size


def test_lines_are_those_of_the_file_also_behind_cells_with_line_breaks() -> None:
    found = rows(
        '\n\nemail,name\na@example.com,"two\nlines"\n\nb@example.com,x\n,\n'
        'c@example.com,"broken" cell\nd@example.com,y\n'
    )
    assert [row.line for row in found] == [4, 7, 9, 10]
    assert isinstance(found[2], BadRow)
    assert found[2].problem.key == "migrate-bad-csv"


def test_a_hash_is_preferred_to_a_clear_password_and_a_locked_one_disables() -> None:
    hashed = "$6$saltsalt$" + "a" * 86
    row = account(f"email,password,password_hash\na@example.com,clear text,!{hashed}\n")
    assert row.password is not None
    assert row.password.labelled == "{SHA512-CRYPT}" + hashed
    assert not row.enabled
    assert "aaaa" not in repr(row)


def test_a_weak_hash_is_named() -> None:
    row = account("email,hash\na@example.com,{MD5}X03MO1qnZdYdgyfeuILPmQ==\n")
    assert row.password is None
    assert row.weak_scheme == "MD5"


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6), st.sampled_from(",;\t|"))
def test_whatever_the_csv_module_writes_is_read_back(cells: list[tuple[str, str, str]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["address", "name", "password"])
    writer.writerows(cells)
    found = rows(text.getvalue(), "example.com")
    given_rows = [row for row in cells if any(cell.strip() for cell in row)]
    assert len(found) == len(given_rows)
    for row, (address, name, _) in zip(found, given_rows, strict=True):
        if address.strip():
            assert isinstance(row, Account)
            assert row.name == name.strip()


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        for row in table.read(b"email,name,quota\n" + data).rows("example.com"):
            assert row.line >= 2
    except BadInput:
        pass
