"""Locks that a dead node left on a group's volume hold nobody up on the node that serves the group now."""

from __future__ import annotations

import imaplib

from tests.lab import Node
from tests.lab.appliance import create_domain, create_mailbox
from tests.load.workers import insecure

PASSWORD = "correct-horse-battery-9"


def test_a_mailbox_that_a_dead_node_had_locked_is_used_at_once(node: Node) -> None:
    create_domain(node, "stale.test")
    create_mailbox(node, "wang@stale.test", PASSWORD)
    deliver(node, "first")
    newest = "ls -t $(find /srv/posthouse/mail/mailboxes -name dovecot-uidlist) | head -1"
    lock = node.run("sh", "-c", newest).stdout.strip() + ".lock"
    # what Dovecot writes (file-dotlock.c): the process and the host; this one was of the group's former node
    node.run("sh", "-c", f"echo 4111222:posthouse-mail >{lock} && chown vmail: {lock} && touch -d '-10 seconds' {lock}")
    deliver(node, "second")


def deliver(node: Node, subject: str) -> None:
    """Append a message. Dovecot would wait 120 s for a lock of another host."""
    with imaplib.IMAP4_SSL(node.address, ssl_context=insecure(), timeout=30) as session:
        session.login("wang@stale.test", PASSWORD)
        assert session.append("INBOX", "", "", f"Subject: {subject}\r\n\r\nhello\r\n".encode())[0] == "OK"
        session.select("INBOX")
        assert session.search(None, "SUBJECT", subject)[1][0]
