"""Removing a mailbox's home: that one and nothing else, whatever lies in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.directory.addresses import mailbox_address
from appliance.directory.entries import mailbox_of, new_mailbox
from appliance.directory.model import Mailbox, NewMailbox
from appliance.directory.purge import remove_home
from appliance.errors import BadInput, Unavailable
from tests.unit.directory.test_entries import entry


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    made = tmp_path / "volume"
    (made / "mailboxes").mkdir(parents=True)
    return made


@pytest.fixture
def mailbox() -> Mailbox:
    wanted = NewMailbox(mailbox_address("alice@example.com"), 0)
    return mailbox_of(entry(*new_mailbox(wanted, datetime.now(UTC))))


def fill(home: Path) -> None:
    (home / "Maildir" / "cur").mkdir(parents=True)
    (home / "Maildir" / "cur" / "1:2,S").write_text("mail")


def test_the_home_is_removed_and_its_neighbours_stay(volume: Path, mailbox: Mailbox) -> None:
    neighbour = volume / "mailboxes" / mailbox.id[:2] / ("0" * 32)
    for home in (volume / mailbox.path, neighbour):
        fill(home)
    remove_home(volume, mailbox)
    assert not (volume / mailbox.path).exists()
    assert (neighbour / "Maildir" / "cur" / "1:2,S").exists()


def test_what_a_migration_kept_of_the_mailbox_goes_with_it(volume: Path, mailbox: Mailbox) -> None:
    fill(volume / mailbox.path)
    own, other = (volume / "migration" / name for name in (mailbox.id, "0" * 32))
    for each in (own, other):
        fill(each / "mirror-0")
    remove_home(volume, mailbox)
    assert not own.exists()
    assert (other / "mirror-0/Maildir/cur/1:2,S").exists()


def test_a_mailbox_that_never_got_mail_has_nothing_to_remove(volume: Path, mailbox: Mailbox) -> None:
    remove_home(volume, mailbox)
    (volume / mailbox.path).parent.mkdir()
    remove_home(volume, mailbox)


@pytest.mark.parametrize(
    "path",
    ["../../etc", "mailboxes/../../etc", "/etc", "mailboxes", "mailboxes/aa", "", ".", "mailboxes/aa/" + "a" * 32],
)
def test_a_path_that_is_not_the_mailboxs_own_is_refused(volume: Path, mailbox: Mailbox, path: str) -> None:
    with pytest.raises(BadInput) as refusal:
        remove_home(volume, replace(mailbox, path=path))
    assert refusal.value.key == "mailbox-bad-path"


def test_links_on_the_way_are_not_followed(volume: Path, mailbox: Mailbox, tmp_path: Path) -> None:
    precious = tmp_path / "precious" / mailbox.id
    fill(precious)
    shelf = (volume / mailbox.path).parent
    shelf.symlink_to(precious.parent)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        remove_home(volume, mailbox)
    shelf.unlink()
    shelf.mkdir()
    (volume / mailbox.path).symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"):
        remove_home(volume, mailbox)
    (volume / mailbox.path).unlink()
    fill(volume / mailbox.path)
    (volume / mailbox.path / "Maildir" / "escape").symlink_to(precious)
    remove_home(volume, mailbox)
    assert (precious / "Maildir" / "cur" / "1:2,S").exists()


def test_a_volume_that_is_not_there_is_no_removed_home(volume: Path, mailbox: Mailbox) -> None:
    (volume / "mailboxes").rmdir()
    with pytest.raises(Unavailable):
        remove_home(volume, mailbox)
    (volume / "mailboxes").symlink_to("/tmp")
    with pytest.raises(Unavailable):
        remove_home(volume, mailbox)
