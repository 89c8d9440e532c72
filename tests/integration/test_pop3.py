"""POP3 as clients use it."""

from __future__ import annotations

import poplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mail_clients import Account, MailNode, mail_node, mark, send
from tests.lab import Node


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "pop3.test") as made:
        yield made


@pytest.fixture
def reader(mail: MailNode) -> Account:
    """A mailbox with one message, which contains the mailbox's own name."""
    account = mail.mailbox()
    with mail.smtp() as client:
        send(client, "somebody@example.net", account.address, f"for {account.local}")
    mail.arrived(account, f"for {account.local}")
    return account


def test_the_extensions_are_offered(mail: MailNode, reader: Account) -> None:
    client = mail.pop3(reader)
    assert {"UIDL", "TOP", "PIPELINING", "RESP-CODES"} <= set(client.capa())
    client.quit()


def test_no_password_is_taken_without_tls(mail: MailNode, reader: Account) -> None:
    client = poplib.POP3(mail.node.address, 110, timeout=20)
    assert "STLS" in client.capa()
    with pytest.raises(poplib.error_proto, match="Plaintext authentication disallowed"):
        client.user(reader.address)
    client.quit()


def test_stls_on_port_110(mail: MailNode, reader: Account) -> None:
    client = poplib.POP3(mail.node.address, 110, timeout=20)
    client.stls(mail.context)
    client.user(reader.address)
    client.pass_(reader.password)
    assert client.stat()[0] == 1
    client.quit()


def test_reading_and_deleting(mail: MailNode, reader: Account) -> None:
    client = mail.pop3(reader)
    assert client.stat()[0] == 1
    assert f"for {reader.local}".encode() in client.retr(1)[1]
    assert client.top(1, 0)[1][0].startswith(b"Return-Path:")
    client.dele(1)
    client.quit()
    again = mail.pop3(reader)
    assert again.stat()[0] == 0
    again.quit()


def test_identities_of_messages_stay(mail: MailNode, reader: Account) -> None:
    seen = []
    for _ in range(2):
        client = mail.pop3(reader)
        seen.append(client.uidl()[1])
        client.quit()
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1


def test_a_session_that_never_ends_locks_nobody_out(mail: MailNode, reader: Account) -> None:
    hanging = mail.pop3(reader)
    assert hanging.stat()[0] == 1
    word = mark()
    with mail.smtp() as client:
        send(client, "somebody@example.net", reader.address, word)
    mail.arrived(reader, word)
    second = mail.pop3(reader)
    assert second.stat()[0] == 2
    second.quit()
    hanging.close()
