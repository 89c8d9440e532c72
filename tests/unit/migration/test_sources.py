"""Where mail comes from: patterns of trees, lists of mailboxes, names on other servers, mbox files, refused places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import paths
from appliance.cluster.names import GroupName
from appliance.errors import BadInput
from appliance.migration.mail import imap, lists, mbox, mirror, trees
from appliance.migration.mail.dovecot import Dovecot
from appliance.migration.mail.mirror import Login, Server, Tls
from appliance.migration.mail.names import Folder
from appliance.migration.mail.places import require_outside
from appliance.migration.mail.processes import Children

# --- trees ------------------------------------------------------------------------------------------------------


def found(root: Path, layout: str, domain: str | None = None) -> dict[str, str]:
    matches = trees.find(root, trees.parse(layout, domain), domain)
    return {match.address: str(match.path.relative_to(root)) for match in matches}


def test_a_pattern_finds_mailboxes_and_their_addresses(tmp_path: Path) -> None:
    for place in ("example.com/ann/Maildir", "example.com/bob/Maildir", "example.net/cem/mail", "x.org/dan/Maildir"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "x.org").rename(tmp_path / "y.org")
    (tmp_path / "z.org").symlink_to(tmp_path / "y.org")
    assert found(tmp_path, "maildir:{domain}/{local}/Maildir") == {
        "ann@example.com": "example.com/ann/Maildir",
        "bob@example.com": "example.com/bob/Maildir",
        "dan@y.org": "y.org/dan/Maildir",
    }


def test_a_pattern_may_hold_other_text_and_stars(tmp_path: Path) -> None:
    for place in ("a/ann.mbox", "b/bob.mbox", "b/notes.txt", "b/not@local.mbox"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    expected = {"ann@example.com": "a/ann.mbox", "bob@example.com": "b/bob.mbox"}
    assert found(tmp_path, "mbox:*/{local}.mbox", "example.com") == expected
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail/ann@example.com").touch()
    assert found(tmp_path, "mbox:mail/{address}") == {"ann@example.com": "mail/ann@example.com"}


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        ("{domain}/{local}", "migrate-layout-kind"),
        ("mdbox:{domain}/{local}", "migrate-layout-kind"),
        ("maildir:{domain}/Maildir", "migrate-layout-address"),
        ("maildir:{local}/{local}", "migrate-layout-address"),
        ("maildir:{local}/{address}", "migrate-layout-address"),
        ("maildir:{local}", "migrate-layout-domain"),
        ("maildir:../{address}", "migrate-layout-climbs"),
        ("maildir:/{address}", "migrate-layout-climbs"),
    ],
)
def test_a_pattern_that_cannot_be_is_refused(layout: str, key: str) -> None:
    with pytest.raises(BadInput) as caught:
        trees.parse(layout, None)
    assert caught.value.key == key
    assert str(caught.value).startswith("layout: ")


# --- lists ------------------------------------------------------------------------------------------------------


def test_a_list_names_users_passwords_and_addresses() -> None:
    text = '用户名;密码;邮箱\nann;pass;word\nbob;geheim;\n;x;y\ncem;;\n\n"dan;secret;d\n'
    rows = list(lists.read(text.encode("gb18030")))
    assert [(row.line, row.user, row.address, row.password) for row in rows if row.problem is None] == [
        (2, "ann", "word", "pass"),
        (3, "bob", "bob", "geheim"),
    ]
    assert [(row.line, row.problem.key) for row in rows if row.problem is not None] == [
        (4, "migrate-list-empty"),
        (5, "migrate-list-empty"),
        (7, "migrate-bad-csv"),
    ]
    assert "geheim" not in repr(rows)


def test_a_list_without_a_heading_is_refused() -> None:
    with pytest.raises(BadInput, match="user"):
        lists.read(b"ann,secret,ann@example.com\n")


# --- another server ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "prefix", "separator", "folder"),
    [
        ("INBOX", "", "/", ()),
        ("inbox", "INBOX.", ".", ()),
        ("INBOX.Sent.2024", "INBOX.", ".", ("Sent", "2024")),
        ("项目/子", "", "/", ("项目", "子")),
        ("a.b", "", "/", ("a.b",)),
        ("Public.x", "INBOX.", ".", None),
        ("flat", "", "", ("flat",)),
    ],
)
def test_names_of_other_servers_become_folders(name: str, prefix: str, separator: str, folder: Folder | None) -> None:
    assert imap.folder_of(name, prefix, separator) == folder


@given(st.text())
def test_any_value_is_quoted_on_one_line_or_refused(value: str) -> None:
    if any(character < " " or character == "\x7f" for character in value):
        with pytest.raises(BadInput):
            mirror.quoted(value, "password")
        return
    text = mirror.quoted(value, "password")
    assert "\n" not in text
    assert text.startswith('"')
    assert text.endswith('"')
    assert text[1:-1].replace("\\\\", "").replace('\\"', "").count('"') == 0


def test_the_configuration_of_a_mirror_verifies_the_server_unless_told_otherwise() -> None:
    server = Server("imap.example.com", 993, Tls.IMAPS)
    text = mirror.imap_configuration(Path("/x/Maildir"), server, Login("a%n", 'se"cr%et'), "INBOX")
    assert "imapc_ssl = imaps\nimapc_ssl_verify = yes\n" in text
    assert 'imapc_password = "se\\"cr%et"\n' in text
    assert 'imapc_user = "a%%n"\n' in text
    assert 'imapc_list_prefix = "INBOX"\n' in text
    careless = Server("imap.example.com", 143, Tls.NONE, verify=False)
    text = mirror.imap_configuration(Path("/x/Maildir"), careless, Login("ann", "x"), "")
    assert "imapc_ssl = no\nimapc_ssl_verify = no\n" in text
    assert "imapc_list_prefix" not in text
    assert "x" not in repr(Login("ann", "x")).replace("ann", "")


# --- mbox -------------------------------------------------------------------------------------------------------


def test_mbox_files_of_a_folder_become_folders(tmp_path: Path) -> None:
    files = ("Inbox", "Sent", "Sent.sbd/2024", "archive.mbox", "sub/&XfJT0ZAB-", "empty")
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"From a@b Mon Jan  1 00:00:00 2024\n\n")
    (tmp_path / "Inbox.msf").write_text("index")
    (tmp_path / "letter.txt").write_text("Dear")
    (tmp_path / "outside").symlink_to("/etc")
    seen = mbox.find(tmp_path)
    assert {each.folder for each in seen.files} == {
        (),
        ("Sent",),
        ("Sent", "2024"),
        ("archive",),
        ("sub", "已发送"),
        ("empty",),
    }
    assert [note.key for note in seen.notes] == ["migrate-no-mbox"]
    assert [problem.key for problem in seen.problems] == ["migrate-link-not-followed"]


def test_a_single_mbox_file_is_the_inbox_unless_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "ann").write_bytes(b"From a\n")
    assert mbox.find(tmp_path / "ann").files[0].folder == ()
    assert mbox.find(tmp_path / "ann", ("Old", "2003")).files[0].folder == ("Old", "2003")


def test_a_single_file_that_is_no_mbox_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    seen = mbox.find(tmp_path / "letter.txt")
    assert (seen.files, [problem.key for problem in seen.problems]) == ([], ["migrate-no-mbox"])


def test_a_folder_that_stands_where_a_copy_goes_is_not_used(tmp_path: Path) -> None:
    """Whoever can write there may have put a link, and what is copied is given away."""
    (tmp_path / "ann").write_bytes(b"From a\n")
    elsewhere, scratch = tmp_path / "elsewhere", tmp_path / "scratch"
    elsewhere.mkdir()
    scratch.mkdir()
    (scratch / "0").symlink_to(elsewhere)
    dovecot = Dovecot("ann@example.com", GroupName("mail"), Children(tmp_path / "child.json"))
    owner = (os.getuid(), os.getgid())
    parts, problems = mbox.convert(mbox.find(tmp_path / "ann").files, scratch, owner, dovecot)
    assert (parts, [problem.key for problem in problems]) == ([], ["migrate-file-unreadable"])
    assert list(elsewhere.iterdir()) == []


# --- places -----------------------------------------------------------------------------------------------------


def test_a_source_on_a_volume_of_ours_is_refused_also_behind_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "VOLUMES", tmp_path / "srv")
    monkeypatch.setattr(paths, "STATE", tmp_path / "state")
    for name in ("srv/mail/mailboxes", "state", "old"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "srv/mail/mailboxes")
    assert require_outside(tmp_path / "old") == (tmp_path / "old").resolve()
    for name in ("srv/mail/mailboxes", "srv", "state", "link", "."):
        with pytest.raises(BadInput) as caught:
            require_outside(tmp_path / name)
        assert caught.value.field == "path"


# --- children that outlive their parent -------------------------------------------------------------------------


def test_a_child_that_outlived_its_parent_is_ended(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeper, text=True) as process:
        note = tmp_path / "child.json"
        with Children(note).noted(process):
            left_behind = note.read_text()
        assert not note.exists()
        note.write_text(left_behind)
        assert Children(note).end_orphan()
        assert process.wait(10) == -9
    assert not note.exists()
    assert not Children(note).end_orphan()


def test_another_process_of_the_same_number_is_left_alone(tmp_path: Path) -> None:
    note = tmp_path / "child.json"
    note.write_text(json.dumps([os.getpid(), 1]))
    assert not Children(note).end_orphan()
    note.write_text("{")
    assert not Children(note).end_orphan()
