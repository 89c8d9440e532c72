"""Quota: refusal before queueing, the warning, the notice that a mailbox is full, in its owner's language."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
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
