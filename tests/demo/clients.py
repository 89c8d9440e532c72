"""The demo's mail clients: Python's own libraries, over TLS verified against the installation's authority."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import ssl
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_TIMEOUT = 20.0


class VerifyingContext(ssl.SSLContext):
    """Verifies the server as `name`, though it is reached through a forwarded port of 127.0.0.1."""

    name: str

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*arguments, **{**options, "server_hostname": self.name})


def verifying(name: str, ca_file: Path) -> VerifyingContext:
    """A client context that trusts the installation's authority and nothing else."""
    context = VerifyingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_file)
    context.name = name
    return context


@dataclass(frozen=True)
class Account:
    """A mailbox and its password."""

    address: str
    password: str


def compose(sender: Account, recipient: Account) -> EmailMessage:
    """The demo's message, with a subject and text beyond ASCII."""
    message = EmailMessage()
    message["From"] = f"Alice <{sender.address}>"
    message["To"] = f"Bob <{recipient.address}>"
    message["Subject"] = "Hello from Posthouse 驿站"
    message.set_content("Every courier finds a fresh horse waiting.\n每位信使都有一匹新马在等候。\n")
    return message


def submit(port: int, context: ssl.SSLContext, sender: Account, message: EmailMessage) -> str:
    """Send by submission with STARTTLS and AUTH; return what the server answered to the data."""
    answer = ""

    class Remembering(smtplib.SMTP):
        def data(self, msg: Any) -> tuple[int, bytes]:
            nonlocal answer
            code, text = super().data(msg)
            answer = f"{code} {text.decode(errors='replace')}"
            return code, text

    with Remembering(HOST, port, timeout=_TIMEOUT) as client:
        client.starttls(context=context)
        client.login(sender.address, sender.password)
        client.send_message(message)
    return answer


def read_imap(port: int, context: ssl.SSLContext, owner: Account) -> list[EmailMessage]:
    """Every message of the INBOX, by IMAP over TLS."""
    with imaplib.IMAP4_SSL(HOST, port, ssl_context=context, timeout=_TIMEOUT) as client:
        client.login(owner.address, owner.password)
        client.select("INBOX", readonly=True)
        found = client.search(None, "ALL")[1][0].split()
        answers = [client.fetch(number, "(BODY.PEEK[])")[1][0] for number in found]
        return [_parse(answer[1]) for answer in answers if isinstance(answer, tuple)]


def read_pop3(port: int, context: ssl.SSLContext, owner: Account) -> list[EmailMessage]:
    """Every message, by POP3 over TLS; they stay in the mailbox."""
    client = poplib.POP3_SSL(HOST, port, context=context, timeout=_TIMEOUT)
    try:
        client.user(owner.address)
        client.pass_(owner.password)
        count = client.stat()[0]
        return [_parse(b"\r\n".join(client.retr(number)[1])) for number in range(1, count + 1)]
    finally:
        client.quit()


def _parse(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def same(one: EmailMessage, other: EmailMessage) -> bool:
    """Whether two messages have the same subject and text."""
    texts: list[list[str]] = [each.get_content().splitlines() for each in (one, other)]
    return bool(one["Subject"] == other["Subject"]) and texts[0] == texts[1]
