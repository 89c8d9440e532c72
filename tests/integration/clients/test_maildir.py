"""The mailbox on disk: one file a message with its sizes in its name, and more than 4 GB of them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from imapclient import IMAPClient

from tests.integration.letters import written
from tests.integration.mail_clients import Account, MailNode, mark, send

VMAIL = 57143
GIB = 1024**3
_NAME = re.compile(r"[^/:,]+,S=(\d+),W=(\d+):2,[A-Z]*|[^/:,]+,S=(\d+),W=(\d+)")


def home(mail: MailNode, account: Account) -> Path:
    """The mailbox's folder on the group's volume, as this machine sees it."""
    shown = json.loads(mail.node.run("posthouse", "mailbox", "show", account.address, "--json").stdout)
    return mail.node.root / "srv/posthouse/mail" / str(shown["path"])


def test_every_message_is_a_file_whose_name_tells_its_sizes(mail: MailNode, wang: Account, li: Account) -> None:
    word = mark()
    with mail.imap(wang) as client:
        client.create("Folder")
        for folder in ("INBOX", "Folder", "Folder"):
            client.append(folder, r"(\Seen)", None, written(li.address, wang.address, word))
    with mail.submission(li) as sender:
        send(sender, li.address, wang.address, word)
    mail.arrived(wang, f"From: {li.address}")
    maildir = home(mail, wang) / "Maildir"
    files = [file for part in ("cur", "new") for file in maildir.rglob(f"{part}/*")]
    assert sorted(len(list(folder.rglob("*,S=*"))) for folder in (maildir / "cur", maildir / ".Folder/cur")) == [1, 2]
    assert len(files) == 4
    for file in files:
        named = _NAME.fullmatch(file.name)
        assert named, file.name
        content = file.read_bytes()
        sizes = [int(each) for each in named.groups() if each]
        assert sizes == [len(content), len(content) + content.count(b"\n")]
        assert word.encode() in content
        assert b"\r" not in content
        assert file.stat().st_uid == VMAIL
        assert file.stat().st_mode & 0o777 == 0o600


def test_each_mailbox_has_a_folder_of_its_own_two_levels_down(mail: MailNode, wang: Account, li: Account) -> None:
    homes = [home(mail, each) for each in (wang, li)]
    for each in homes:
        assert each.parent.parent.name == "mailboxes"
        assert each.name.startswith(each.parent.name)
    assert homes[0] != homes[1]


def put_large(maildir: Path, number: int, size: int) -> None:
    """A message of that many octets, with nothing but its head on the disk (a file with a hole)."""
    head = f"From: somebody@example.net\nSubject: large {number}\nMessage-ID: <large-{number}@example.net>\n\n".encode()
    name = f"17000000{number:02d}.M1P1.large,S={size},W={size + head.count(bytes([10]))}:2,S"
    draft, target = maildir / "tmp" / name, maildir / "cur" / name
    with draft.open("wb") as file:
        file.write(head)
        file.truncate(size)
    os.chown(draft, VMAIL, VMAIL)
    draft.chmod(0o600)
    draft.rename(target)


def recount(mail: MailNode, account: Account) -> None:
    """What an operator does who put files into a mailbox by hand."""
    mail.node.run("posthouse", "mailbox", "recount", account.address)


def letter_of(account: Account) -> bytes:
    """The small message in an account's mailbox."""
    return written(account.address, account.address, account.local)


@pytest.fixture
def large(mail: MailNode) -> Account:
    """A mailbox of 6 GB that holds 5 GB and a small message."""
    account = mail.mailbox(quota="6G")
    with mail.imap(account) as client:
        assert client.append("INBOX", None, None, letter_of(account))[0] == "OK"
    for number in range(5):
        put_large(home(mail, account) / "Maildir", number, GIB)
    recount(mail, account)
    return account


def signed_in(mail: MailNode, account: Account) -> IMAPClient:
    client = IMAPClient(mail.node.address, ssl_context=mail.context, timeout=20)
    client.login(account.address, account.password)
    client.select_folder("INBOX")
    return client


def storage(mail: MailNode, account: Account) -> tuple[int, int]:
    """Used and allowed KiB, as clients are told."""
    with signed_in(mail, account) as client:
        (told,) = client.get_quota("INBOX")
    assert told.resource == "STORAGE"
    return told.usage, told.limit


def test_a_mailbox_beyond_4_gb_is_counted_and_read_like_any_other(mail: MailNode, large: Account) -> None:
    used, allowed = storage(mail, large)
    assert allowed == 6 * GIB // 1024
    assert 5 * GIB // 1024 < used < 5 * GIB // 1024 + 10
    with signed_in(mail, large) as client:
        sizes = [each[b"RFC822.SIZE"] for each in client.fetch(client.search(), ["RFC822.SIZE"]).values()]
        assert len(sizes) == 6
        assert client.folder_status("INBOX", ["SIZE"])[b"SIZE"] == sum(sizes) > 2**32
        (small,) = client.search(["SMALLER", "10000", "TEXT", large.local])
        assert client.fetch(small, ["BODY.PEEK[]"])[small][b"BODY[]"] == letter_of(large)
    pop3 = mail.pop3(large)
    assert pop3.stat() == (6, sum(sizes))
    pop3.quit()


def test_a_quota_beyond_4_gb_is_kept(mail: MailNode, large: Account) -> None:
    used, allowed = storage(mail, large)
    with mail.smtp() as sender:
        send(sender, "somebody@example.net", large.address, "still a gigabyte to go\n" * 300)
    mail.node.wait_until("message counted", lambda: storage(mail, large)[0] > used, timeout=20.0)
    put_large(home(mail, large) / "Maildir", 6, GIB + GIB // 4)
    recount(mail, large)
    assert storage(mail, large)[0] > allowed
    with mail.smtp() as sender:
        sender.mail("somebody@example.net")
        assert sender.rcpt(large.address)[0] == 452
    with signed_in(mail, large) as client:
        client.delete_messages(client.search(["LARGER", str(GIB + GIB // 8)]))
        client.expunge()
    assert used - 1024**2 < storage(mail, large)[0] < allowed
    with mail.smtp() as sender:
        sender.mail("somebody@example.net")
        assert sender.rcpt(large.address)[0] == 250
