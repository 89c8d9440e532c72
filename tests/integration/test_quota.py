"""Quota: refusal before queueing, the warning, the notice that a mailbox is full, in its owner's language."""

from __future__ import annotations

import json
import smtplib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path

import pytest

from tests.integration.mail_clients import Account, MailNode, letter, mail_node, mark, send
from tests.lab import Node

OUTSIDE = "somebody@example.net"
LINE = "x" * 75 + "\n"


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "quota.test") as made:
        yield made


def fill(mail: MailNode, account: Account, octets: int) -> None:
    """Deliver one message of about so many octets, and wait for it."""
    word = mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, account.address, word + "\n" + LINE * (octets // 77))
    mail.arrived(account, word)


def notice(mail: MailNode, account: Account, subject: str) -> Message:
    """Wait for the notice with this subject."""

    def found() -> Message | None:
        for each in map(message_from_bytes, mail.messages(account)):
            if str(make_header(decode_header(each["Subject"]))) == subject:
                return each
        return None

    message = mail.node.wait_until(f"notice {subject!r}", found, timeout=30.0, every=0.3)
    assert message is not None
    return message


def refused(mail: MailNode, account: Account, octets: int) -> None:
    """Wait until a message of so many octets is refused for now: Postfix learns a moment later that it has to ask."""

    def full() -> bool:
        with mail.smtp() as client:
            client.docmd("MAIL", f"FROM:<{OUTSIDE}> SIZE={octets}")
            code, text = client.rcpt(account.address)
            return code == 452 and text.startswith(b"4.2.2")

    mail.node.wait_until("mailbox refuses", full, timeout=10.0, every=0.1)


def test_quota_is_shown_to_clients(mail: MailNode) -> None:
    account = mail.mailbox(quota="1M")
    with mail.imap(account) as client:
        root, usage = client.getquotaroot("INBOX")[1]
        assert root == [b"INBOX Mailbox"]
        assert usage == [b"Mailbox (STORAGE 0 1024)"]


def test_a_full_mailbox_is_refused_at_rcpt_for_now(mail: MailNode) -> None:
    account, other = mail.mailbox(quota="100K"), mail.mailbox()
    fill(mail, account, 80 * 1024)
    refused(mail, account, 60000)
    with mail.smtp() as client:
        client.docmd("MAIL", f"FROM:<{OUTSIDE}> SIZE=60000")
        assert client.rcpt(account.address)[0] == 452
        assert client.rcpt(other.address)[0] == 250
        client.rset()
        # what still fits is welcome
        client.docmd("MAIL", f"FROM:<{OUTSIDE}> SIZE=6000")
        assert client.rcpt(account.address)[0] == 250


def test_what_goes_over_quota_while_queued_is_told_to_its_sender(mail: MailNode) -> None:
    account, sender = mail.mailbox(quota="100K"), mail.mailbox()
    fill(mail, account, 80 * 1024)
    word = mark()
    # without SIZE, RCPT cannot know
    with mail.submission(sender) as client:
        client.esmtp_features.pop("size")
        message = letter(sender.address, account.address, LINE * 800, subject=word)
        assert client.sendmail(sender.address, [account.address], message.as_bytes()) == {}
    report = mail.arrived(sender, word)
    assert b"multipart/report" in report
    assert b"Status: 5.2.2" in report


@pytest.mark.parametrize(
    ("language", "warning", "full"),
    [
        ("en", "Your mailbox is 80% full", "Your mailbox is full"),
        ("zh-CN", "您的邮箱已使用 80%", "您的邮箱空间已满"),
        ("zh-TW", "您的信箱已使用 80%", "您的信箱空間已滿"),
        ("ja", "メールボックスの使用量が 80% に達しました", "メールボックスの容量がいっぱいです"),
    ],
)
def test_notices_come_in_the_language_of_the_mailbox(mail: MailNode, language: str, warning: str, full: str) -> None:
    account = mail.mailbox(quota="100K")
    mail.node.run("posthouse", "settings", "set", "--mailbox", account.address, "mailbox.language", language)
    fill(mail, account, 82 * 1024)
    message = notice(mail, account, warning)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Return-Path"] in {"<>", f"<{account.address}>", None}
    assert account.address in message["To"]
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert account.address in payload.decode()
    assert "100 KB" in payload.decode()
    # the grace lets one message go over the limit; the notice gets in all the same
    fill(mail, account, 18 * 1024)
    notice(mail, account, full)


def test_after_tidying_up_mail_comes_in_again(mail: MailNode) -> None:
    account = mail.mailbox(quota="100K")
    fill(mail, account, 80 * 1024)
    refused(mail, account, 60000)
    with mail.smtp() as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        send(client, OUTSIDE, account.address, LINE * 800)
    with mail.imap(account) as client:
        client.select("INBOX")
        client.store("1:*", "+FLAGS", r"\Deleted")
        client.expunge()
    fill(mail, account, 60 * 1024)


def test_a_mailbox_without_quota_takes_everything(mail: MailNode) -> None:
    account = mail.mailbox(quota="0")
    for _ in range(3):
        fill(mail, account, 200 * 1024)
    with mail.imap(account) as client:
        assert client.getquotaroot("INBOX")[1] == [[None], [None]]


# -- what is counted ---------------------------------------------------------------------------------------------


def used(mail: MailNode, account: Account) -> tuple[int, int]:
    """KiB used and allowed, as a client is told."""
    with mail.imap(account) as client:
        (told,) = client.getquotaroot("INBOX")[1][1]
    words = told.decode().rstrip(")").split("STORAGE ")[1].split()
    return int(words[0]), int(words[1])


def maildir(mail: MailNode, account: Account) -> Path:
    shown = json.loads(mail.node.run("posthouse", "mailbox", "show", account.address, "--json").stdout)
    return mail.node.root / "srv/posthouse/mail" / str(shown["path"]) / "Maildir"


def usage(mail: MailNode, command: str, account: Account) -> dict[str, int]:
    """What `posthouse mailbox usage|recount` says of one mailbox."""
    told = json.loads(mail.node.run("posthouse", "mailbox", command, account.address, "--json").stdout)
    row: dict[str, int] = told[0] if isinstance(told, list) else told
    return row


def rcpt(mail: MailNode, account: Account, octets: int) -> int:
    with mail.smtp() as client:
        client.docmd("MAIL", f"FROM:<{OUTSIDE}> SIZE={octets}")
        return client.rcpt(account.address)[0]


def test_a_changed_quota_counts_at_once(mail: MailNode) -> None:
    account = mail.mailbox(quota="100K")
    fill(mail, account, 80 * 1024)
    refused(mail, account, 60000)
    for quota, allowed, answer in (("1M", 1024, 250), ("90K", 90, 452), ("200K", 200, 250)):
        mail.node.run("posthouse", "mailbox", "change", account.address, "--quota", quota)
        changed = time.monotonic()
        while (used(mail, account)[1], rcpt(mail, account, 60000)) != (allowed, answer):
            assert time.monotonic() < changed + 1.0, quota
    fill(mail, account, 60 * 1024)


def test_expunging_and_deleting_folders_makes_room_at_once(mail: MailNode) -> None:
    account = mail.mailbox(quota="100K")
    fill(mail, account, 80 * 1024)
    with mail.imap(account) as client:
        client.create("Old")
        client.select("INBOX")
        assert client.copy("1", "Old")[0] == "NO"
        client.store("1", "+FLAGS", r"\Deleted")
        client.expunge()
        assert used(mail, account)[0] == 0
        assert client.append("Old", None, None, (LINE * 700).encode())[0] == "OK"
        assert used(mail, account)[0] > 50
        assert client.delete("Old")[0] == "OK"
    assert used(mail, account)[0] == 0
    assert rcpt(mail, account, 60000) == 250


@pytest.mark.parametrize("content", [None, b"", b"garbage\n", b"\x00\xff" * 3000])
def test_a_lost_or_broken_maildirsize_is_made_anew(mail: MailNode, content: bytes | None) -> None:
    account = mail.mailbox(quota="100K")
    fill(mail, account, 40 * 1024)
    before, file = usage(mail, "usage", account), maildir(mail, account) / "maildirsize"
    assert file.exists()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    word = mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, account.address, word + "\n" + LINE * 25)
    mail.arrived(account, word)
    counted = usage(mail, "usage", account)
    assert before["used"] < counted["used"] < before["used"] + 4096
    assert counted["messages"] == 2
    assert usage(mail, "recount", account) == counted


def test_a_wrong_maildirsize_is_put_right_by_a_recount(mail: MailNode) -> None:
    """Dovecot believes a fresh one that says that the mailbox is full for a quarter of an hour."""
    account = mail.mailbox(quota="100K")
    fill(mail, account, 40 * 1024)
    before = usage(mail, "usage", account)
    (maildir(mail, account) / "maildirsize").write_bytes(b"102400S\n99999 1\n")
    assert usage(mail, "usage", account) != before
    assert usage(mail, "recount", account) == before
    fill(mail, account, 40 * 1024)


def test_deliveries_at_once_are_all_counted(mail: MailNode) -> None:
    account = mail.mailbox(quota="10M")

    def session(number: int) -> None:
        with mail.smtp() as client:
            for _ in range(5):
                send(client, OUTSIDE, account.address, LINE * (10 + number))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(session, range(10)))
    mail.node.wait_until("all delivered", lambda: len(mail.messages(account)) == 50, timeout=30.0, every=0.3)
    counted = usage(mail, "usage", account)
    assert counted["messages"] == 50
    assert usage(mail, "recount", account) == counted


def test_usage_is_shown_for_one_mailbox_and_for_a_domain(mail: MailNode) -> None:
    limited, unlimited = mail.mailbox(quota="100K"), mail.mailbox(quota="0")
    for each in (limited, unlimited):
        fill(mail, each, 50 * 1024)
    rows = json.loads(mail.node.run("posthouse", "mailbox", "usage", "--domain", mail.domain, "--json").stdout)
    told = {row["address"]: row for row in rows}
    assert 48 * 1024 < told[limited.address]["used"] < 56 * 1024
    assert (told[limited.address]["messages"], told[limited.address]["quota"]) == (1, 100 * 1024)
    assert 48 * 1024 < told[unlimited.address]["used"] < 56 * 1024
    assert (told[unlimited.address]["messages"], told[unlimited.address]["quota"]) == (1, 0)
    assert len(told) > 2
    shown = mail.node.run("posthouse", "mailbox", "usage", limited.address).stdout.splitlines()
    assert limited.address in shown[1]
    assert " %" in shown[1]
    assert mail.node.run("posthouse", "mailbox", "usage", check=False).returncode == 2
