"""Reading Maildir trees of others: names, order, and what a hostile owner may put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.migration.mail import maildir
from appliance.migration.mail.maildir import MaildirFolder, Reader, Tree


def deliver(folder: Path, name: str, content: bytes = b"Subject: x\n\nbody\n", at: int = 1_300_000_000) -> Path:
    """Put a message into a Maildir folder, which is made when it is missing."""
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    path = folder / ("cur" if ":2," in name else "new") / name
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def shown(tree: Tree) -> dict[tuple[str, ...], tuple[bytes, ...]]:
    return {each.folder: each.way for each in tree.folders}


def test_both_layouts_are_found(tmp_path: Path) -> None:
    for way in (".", ".Sent", ".&XfJT0ZAB-.2024", "Work/Plans", "Work"):
        deliver(tmp_path / way, "1.a:2,S")
    (tmp_path / "sieve").mkdir()
    (tmp_path / ".empty-folder").mkdir()
    assert shown(maildir.scan(tmp_path)) == {
        (): (),
        ("Sent",): (b".Sent",),
        ("已发送", "2024"): (b".&XfJT0ZAB-.2024",),
        ("Work",): (b"Work",),
        ("Work", "Plans"): (b"Work", b"Plans"),
    }


def test_two_folders_of_one_name_stay_two(tmp_path: Path) -> None:
    deliver(tmp_path / ".Work", "1.a:2,S")
    deliver(tmp_path / "Work", "2.b:2,S")
    tree = maildir.scan(tmp_path)
    assert set(shown(tree)) == {("Work",), ("Work~2",)}
    assert [note.key for note in tree.notes] == ["migrate-folder-renamed"]


def test_messages_come_in_the_order_of_their_uids_then_of_their_arrival(tmp_path: Path) -> None:
    deliver(tmp_path, "3.c:2,S", at=30)
    deliver(tmp_path, "1.a:2,S", at=50)
    deliver(tmp_path, "2.b:2,RS", at=20)
    deliver(tmp_path, "4.d", at=10)
    (tmp_path / "dovecot-uidlist").write_bytes(b"3 V7 N9\n5 :1.a\n6 :3.c\n")
    with Reader(Tree(tmp_path), MaildirFolder((), ())) as reader:
        contents = reader.contents()
    assert contents.validity == 7
    assert [(each.name.base, each.uid) for each in contents.entries] == [
        (b"1.a", 5),
        (b"3.c", 6),
        (b"4.d", None),
        (b"2.b", None),
    ]


def test_links_and_other_peoples_files_are_left_out_and_told(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    root = tmp_path / "Maildir"
    deliver(root, "1.a:2,S")
    deliver(tmp_path / "elsewhere", "1.b:2,S")
    (root / ".Outside").symlink_to(tmp_path / "elsewhere")
    (root / "cur" / "2.link:2,S").symlink_to(secret)
    (root / "cur" / "3.folder:2,S").mkdir()
    os.mkfifo(root / "cur" / "4.pipe:2,S")
    tree = maildir.scan(root)
    assert list(shown(tree)) == [()]
    assert [each.key for each in tree.problems] == ["migrate-link-not-followed"]
    with Reader(tree, tree.folders[0]) as reader:
        contents = reader.contents()
    assert [entry.name.base for entry in contents.entries] == [b"1.a"]
    assert sorted(each.key for each in contents.problems) == [
        "migrate-link-not-followed",
        "migrate-no-message-file",
        "migrate-no-message-file",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_hard_link_to_another_owners_file_is_left_out(tmp_path: Path) -> None:
    deliver(tmp_path / "Maildir", "1.a:2,S")
    os.chown(tmp_path / "Maildir", 12345, 12345)
    (tmp_path / "secret").write_text("secret")
    os.link(tmp_path / "secret", tmp_path / "Maildir/cur/2.link:2,S")
    tree = maildir.scan(tmp_path / "Maildir")
    with Reader(tree, tree.folders[0]) as reader:
        contents = reader.contents()
    assert [each.key for each in contents.problems] == ["migrate-file-of-somebody-else"]


def test_a_folder_replaced_by_a_link_after_the_scan_is_not_entered(tmp_path: Path) -> None:
    deliver(tmp_path / "Maildir/.Sent", "1.a:2,S")
    tree = maildir.scan(tmp_path / "Maildir")
    (tmp_path / "Maildir/.Sent").rename(tmp_path / "moved")
    (tmp_path / "Maildir/.Sent").symlink_to(tmp_path / "moved")
    with pytest.raises(OSError, match=r"symbolic link|Not a directory"), Reader(tree, tree.folders[0]):
        pass


def test_a_message_renamed_by_a_client_while_it_is_read_is_still_found(tmp_path: Path) -> None:
    path = deliver(tmp_path, "1.a:2,", b"content")
    tree = maildir.scan(tmp_path)
    with Reader(tree, tree.folders[0]) as reader:
        (entry,) = reader.contents().entries
        path.rename(path.with_name("1.a:2,S"))
        with os.fdopen(reader.open(entry), "rb") as file:
            assert file.read() == b"content"
        path.with_name("1.a:2,S").unlink()
        with pytest.raises(FileNotFoundError):
            reader.open(entry)


def test_reading_changes_nothing(tmp_path: Path) -> None:
    deliver(tmp_path, "1.a:2,S")
    deliver(tmp_path, "2.b")

    def state() -> list[tuple[str, int, int, int]]:
        return sorted(
            (str(p), p.stat().st_mtime_ns, p.stat().st_ino, p.stat().st_atime_ns) for p in tmp_path.rglob("*")
        )

    before = [each for each in state() if "." in Path(each[0]).name]
    tree = maildir.scan(tmp_path)
    with Reader(tree, tree.folders[0]) as reader:
        for entry in reader.contents().entries:
            os.close(reader.open(entry))
    assert [each for each in state() if "." in Path(each[0]).name] == before


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("subscriptions", b"V\t2\n\nSent\n&XfJT0ZAB-\t2024\n"),
        ("subscriptions", b"Sent\n&XfJT0ZAB-.2024\n"),
        ("courierimapsubscribed", b"INBOX\nINBOX.Sent\nINBOX.&XfJT0ZAB-.2024\n"),
    ],
)
def test_subscriptions_are_read_as_dovecot_and_courier_write_them(tmp_path: Path, name: str, data: bytes) -> None:
    deliver(tmp_path, "1.a:2,S")
    (tmp_path / name).write_bytes(data)
    assert maildir.scan(tmp_path).subscribed == frozenset({("Sent",), ("已发送", "2024")})
    (tmp_path / name).unlink()
    assert maildir.scan(tmp_path).subscribed is None
