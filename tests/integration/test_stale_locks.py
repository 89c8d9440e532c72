"""Locks that a dead node left on a group's volume hold nobody up on the node that serves the group now."""

from __future__ import annotations

import imaplib

import pytest

from tests.lab import Node
from tests.lab.appliance import create_domain, create_mailbox, wait_healthy
from tests.load.workers import insecure

PASSWORD = "correct-horse-battery-9"


@pytest.fixture(scope="module")
def box(node: Node) -> Node:
    """The node, with a mailbox that has a message."""
    create_domain(node, "stale.test")
    create_mailbox(node, "wang@stale.test", PASSWORD)
    deliver(node, "first")
    return node


def leave_lock(node: Node, content: str) -> None:
    """Leave a lock that is ten seconds old in the mailbox that was used last."""
    newest = "ls -t $(find /srv/posthouse/mail/mailboxes -name dovecot-uidlist) | head -1"
    lock = node.run("sh", "-c", newest).stdout.strip() + ".lock"
    node.run("sh", "-c", f"printf '{content}' >{lock} && chown vmail: {lock} && touch -d '-10 seconds' {lock}")


def test_a_mailbox_that_a_dead_node_had_locked_is_used_at_once(box: Node) -> None:
    # what Dovecot writes (file-dotlock.c): the process and the host; this one was of the group's former node
    leave_lock(box, "4111222:posthouse-mail")
    deliver(box, "second")


def test_so_it_is_after_a_reload(box: Node) -> None:
    box.run("systemctl", "reload", "posthouse-dovecot@mail.service")
    deliver(box, "reloaded")
    leave_lock(box, "4111222:posthouse-mail")
    deliver(box, "after")


def test_a_lock_that_a_power_cut_left_empty_is_gone_once_the_group_has_arrived(box: Node) -> None:
    box.run("systemctl", "stop", "posthouse-dovecot@mail.service")
    leave_lock(box, "")
    wait_healthy(box)
    deliver(box, "third")


def deliver(node: Node, subject: str) -> None:
    """Append a message. Dovecot would wait 120 s for a lock of another host."""
    with imaplib.IMAP4_SSL(node.address, ssl_context=insecure(), timeout=30) as session:
        session.login("wang@stale.test", PASSWORD)
        assert session.append("INBOX", "", "", f"Subject: {subject}\r\n\r\nhello\r\n".encode())[0] == "OK"
        session.select("INBOX")
        assert session.search(None, "SUBJECT", subject)[1][0]
