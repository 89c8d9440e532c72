"""Full-text search, chosen by a domain or by the system: found without reading the messages, Chinese words too."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mail_clients import Account, MailNode, mail_node, mark, send
from tests.lab import Node

OUTSIDE = "somebody@example.net"


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "searched.test") as made:
        yield made


def index(mail: MailNode, account: Account) -> list[Path]:
    """The files of the mailbox's full-text index."""
    home = mail.node.run("doveadm", "-c", CONFIGURATION, "user", "-f", "home", account.address).stdout.strip()
    return list((mail.node.root / home.lstrip("/") / "Maildir").rglob("xapian-indexes/*"))


CONFIGURATION = "/var/lib/posthouse/engines/dovecot@mail/current/dovecot.conf"


def fields(mail: MailNode, account: Account) -> str:
    """What Dovecot knows of the account."""
    return mail.node.run("doveadm", "-c", CONFIGURATION, "user", account.address).stdout


def found(client: imaplib.IMAP4, word: str) -> tuple[str, list[bytes]]:
    """Search the texts for a word, as a literal (RFC 9051 4.3)."""
    setattr(client, "literal", word.encode())  # noqa: B010 - bytes, whatever its stub says
    status, data = client.search("UTF-8", "BODY")
    return status, data


def choose(mail: MailNode, value: str, *scope: str) -> None:
    mail.node.run("posthouse", "settings", "set", *scope, "fts.enabled", value)


def test_a_domain_chooses_full_text_search(mail: MailNode) -> None:
    account = mail.mailbox()
    assert "xapian" not in fields(mail, account)
    choose(mail, "true", "--domain", mail.domain)
    mail.node.wait_until("fields follow", lambda: "xapian" in fields(mail, account), timeout=10.0)
    word = mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, account.address, f"{word} 明天上午在会议室讨论预算\n")
    mail.arrived(account, word)
    with mail.imap(account) as client:
        client.select("INBOX")
        assert found(client, "会议室") == ("OK", [b"1"])
        assert client.search(None, "BODY", word) == ("OK", [b"1"])
        assert client.search(None, "BODY", "absent-word") == ("OK", [b""])
    assert index(mail, account)


def test_a_domain_without_it_has_no_index_and_finds_all_the_same(mail: MailNode) -> None:
    choose(mail, "false", "--domain", mail.domain)
    account = mail.mailbox()
    mail.node.wait_until("fields follow", lambda: "xapian" not in fields(mail, account), timeout=10.0)
    word = mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, account.address, f"{word} 明天上午\n")
    mail.arrived(account, word)
    with mail.imap(account) as client:
        client.select("INBOX")
        assert found(client, "上午") == ("OK", [b"1"])
    assert index(mail, account) == []


def test_the_system_chooses_for_domains_that_have_not(mail: MailNode) -> None:
    mail.node.run("posthouse", "settings", "reset", "--domain", mail.domain, "fts.enabled")
    account = mail.mailbox()
    choose(mail, "true")
    try:
        mail.node.wait_until("fields follow", lambda: "xapian" in fields(mail, account), timeout=15.0)
        choose(mail, "false", "--domain", mail.domain)
        mail.node.wait_until("the domain's own", lambda: "xapian" not in fields(mail, account), timeout=10.0)
    finally:
        mail.node.run("posthouse", "settings", "reset", "fts.enabled")
