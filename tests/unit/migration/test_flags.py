"""Flags in Maildir file names, and keywords by letter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.migration.mail import flags
from appliance.migration.mail.flags import Letters, Name


def test_a_name_is_taken_apart() -> None:
    assert flags.parse(b"1.M1P1.h,S=5:2,FSa") == Name(b"1.M1P1.h,S=5", "FSa")
    assert flags.parse(b"1.M1P1.h") == Name(b"1.M1P1.h", "")
    assert flags.parse(b"1.M1P1.h:2,") == Name(b"1.M1P1.h", "")
    assert flags.parse(b"1.M1P1.h;2,S") == Name(b"1.M1P1.h", "S")
    assert flags.parse(b"what!") == Name(b"what!", "")
    assert flags.parse(b"1.x:1,S") == Name(b"1.x", "")


def test_keywords_are_read_and_unusable_ones_left_out() -> None:
    assert flags.keywords("0 $Forwarded\n1 Junk\n2 bad(word\n30 far\nrubbish\n") == {"a": "$Forwarded", "b": "Junk"}


def test_passed_becomes_a_keyword_and_keywords_get_new_letters() -> None:
    letters = Letters()
    assert letters.info("SPR", {}) == b"2,RSa"
    assert letters.info("Sz", {"z": "work"}) == b"2,Sb"
    assert letters.info("aF", {"a": "$Forwarded"}) == b"2,Fa"
    assert letters.file() == b"0 $Forwarded\n1 work\n"


def test_keywords_beyond_what_maildir_holds_are_told() -> None:
    letters = Letters()
    for number in range(30):
        letters.info("a", {"a": f"keyword{number}"})
    assert letters.lost == {f"keyword{number}" for number in range(26, 30)}


@given(st.binary(max_size=60))
def test_any_file_name_is_taken_apart(name: bytes) -> None:
    found = flags.parse(name)
    assert name.startswith(found.base)
    assert set(Letters().info(found.letters, {}).decode()) <= set("2,DFRSTa")
