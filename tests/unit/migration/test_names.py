"""Folder names between disk, IMAP and people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.migration.mail import names

PARTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20)
FOLDERS = st.lists(PARTS, min_size=1, max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("on_disk", "folder"),
    [
        (b".Sent", ("Sent",)),
        (b".Sent.2024", ("Sent", "2024")),
        (b".&XfJT0ZAB-", ("已发送",)),
        (b".&mHl27g-.&U+NbUA-", ("项目", "口子")),
        (".已发送".encode(), ("已发送",)),
        (b"." + "已发送".encode("gb18030"), ("已发送",)),
        (b".R&-D", ("R&D",)),
        (b".R&D", ("R&D",)),
        (b".caf\xe9 ", ("café ",)),
        (b".bell\x07", ("bell_",)),
        (b".a..b", ("a", "_", "b")),
    ],
)
def test_names_on_disk_are_read_whatever_wrote_them(on_disk: bytes, folder: names.Folder) -> None:
    assert names.from_maildir(on_disk) == folder


@given(FOLDERS)
def test_every_folder_name_survives_the_way_to_dovecots_disk_and_back(folder: names.Folder) -> None:
    on_disk = names.to_maildir(folder)
    assert names.from_maildir(on_disk, escaped=True) == folder
    assert b"/" not in on_disk
    assert on_disk.isascii()


@given(st.binary(max_size=40))
def test_any_bytes_become_a_name_that_can_be_shown(on_disk: bytes) -> None:
    for part in names.from_maildir(b"." + on_disk.replace(b"/", b"")):
        assert part
        part.encode("utf-8")
        assert not any(character in part for character in "\0\n\x1b")


def test_what_dovecot_cannot_hold_is_escaped_as_listescape_does() -> None:
    assert names.to_maildir(("~home", "a.b/c", "back\\slash", "~")) == b".\\7ehome.a\\2eb\\2fc.back\\5cslash.\\7e"


def test_a_name_that_is_taken_gets_a_number_and_a_folder_is_never_the_inbox() -> None:
    assert names.unique(("A",), []) == ("A",)
    assert names.unique(("A",), [("A",), ("A~2",)]) == ("A~3",)
    assert names.unique(("inbox",), []) == ("inbox~1",)
    assert names.unique(("INBOX", "sub"), [()]) == ("INBOX", "sub")


def test_an_excluded_folder_takes_those_below_it_along() -> None:
    assert names.matches(("Junk",), ["junk"])
    assert names.matches(("Junk", "2024"), ["Junk"])
    assert names.matches((), ["INBOX"])
    assert not names.matches(("Junk mail",), ["Junk"])
    assert not names.matches(("Sent",), [])
