"""Dovecot's list of UIDs: both versions read, broken ones refused, ours read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.migration.mail import uidlist
from appliance.migration.mail.uidlist import Line, UidList


def test_version_3_with_extensions_is_read() -> None:
    data = b"3 V1300000000 N10 G0123\n3 :1.M1P1.h,S=5\n7 W15 Gabc Pxx :name with blanks\n"
    assert uidlist.parse(data) == UidList(1300000000, {b"1.M1P1.h,S=5": 3, b"name with blanks": 7})


def test_version_1_is_read() -> None:
    assert uidlist.parse(b"1 1300000000 10\n3 1.M1P1.h:2,S\n") == UidList(1300000000, {b"1.M1P1.h": 3})


def test_a_list_that_contradicts_itself_is_not_used() -> None:
    for data in (
        b"",
        b"2 x\n",
        b"3 V0 N1\n",
        b"3 N1\n",
        b"3 V1 N9\n7 :a\n3 :b\n",
        b"3 V1 N9\n0 :a\n",
        b"3 V9999999999 N1\n",
    ):
        assert uidlist.parse(data) is None


@given(st.lists(st.integers(1, 2**32 - 1), unique=True).map(sorted), st.integers(1, 2**32 - 1))
def test_a_written_list_is_read_back(uids: list[int], validity: int) -> None:
    lines = [Line(uid, "0" * 32, b"%d.x,S=1" % uid) for uid in uids]
    data = uidlist.write(validity, "f" * 32, lines)
    assert uidlist.parse(data) == UidList(validity, {line.base: line.uid for line in lines})


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    found = uidlist.parse(b"3 V7 N9\n" + data)
    if found is not None:
        assert sorted(found.uids.values()) == list(dict.fromkeys(sorted(found.uids.values())))
