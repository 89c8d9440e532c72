"""Mail clients of the integration tests: Python's own libraries against a node, and accounts made for one test module.

TLS is verified against the installation's authority, as a client would.
"""

from __future__ import annotations

import imaplib
import json
import poplib
import smtplib
import socket
import socketserver
import ssl
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from tests.demo.clients import verifying
from tests.lab import Node
from tests.lab.appliance import create_domain, create_mailbox
from tests.lab.network import LAB_ADDRESS
from tests.lab.polling import wait_until

TIMEOUT = 20.0
CONFIG = "/var/lib/posthouse/engines/postfix@mail/current"
PASSWORD = "correct-horse-battery-9"


@dataclass(frozen=True)
class Account:
    """A mailbox and its password."""

    address: str
    password: str = PASSWORD

    @property
    def local(self) -> str:
        return self.address.partition("@")[0]


@dataclass
class MailNode:
    """A node as mail clients see it. `domain` was made for the test module that asked."""

    node: Node
    ca_file: Path
    domain: str

    # -- accounts --------------------------------------------------------------------------------------------

    def mailbox(self, local: str | None = None, *, domain: str | None = None, quota: str | None = None) -> Account:
        """Make a mailbox; a name nobody has yet when none is given."""
        account = Account(f"{local or f'user-{uuid.uuid4().hex[:8]}'}@{domain or self.domain}")
        if quota is None:
            create_mailbox(self.node, account.address, account.password)
        else:
            command = ("posthouse", "mailbox", "create", account.address, "--password-stdin", "--quota", quota)
            self.node.run(*command, input=account.password + "\n")
        return account

    def alias(self, address: str, *targets: str) -> None:
        """Make an alias; `@domain` catches everything else."""
        self.node.run("posthouse", "alias", "create", address, *targets)

    def domain_alias(self, name: str, target: str) -> None:
        """Let a domain stand for another."""
        self.node.run("posthouse", "domain", "alias", "create", name, target)

    # -- clients ---------------------------------------------------------------------------------------------

    @property
    def context(self) -> ssl.SSLContext:
        """TLS that trusts the installation's authority and expects the node's name."""
        return verifying(self.node.hostname, self.ca_file)

    def smtp(self, port: int = 25) -> smtplib.SMTP:
        """A connection that has greeted."""
        client = smtplib.SMTP(self.node.address, port, local_hostname="client.example.net", timeout=TIMEOUT)
        client.ehlo()
        return client

    def submission(self, account: Account) -> smtplib.SMTP:
        """Port 587 after STARTTLS and AUTH."""
        client = self.smtp(587)
        client.starttls(context=self.context)
        client.login(account.address, account.password)
        return client

    def imap(self, account: Account | None = None) -> imaplib.IMAP4_SSL:
        """Port 993, logged in when an account is given."""
        client = imaplib.IMAP4_SSL(self.node.address, 993, ssl_context=self.context, timeout=TIMEOUT)
        if account is not None:
            client.login(account.address, account.password)
        return client

    def pop3(self, account: Account) -> poplib.POP3_SSL:
        """Port 995, logged in."""
        client = poplib.POP3_SSL(self.node.address, 995, context=self.context, timeout=TIMEOUT)
        client.user(account.address)
        client.pass_(account.password)
        return client

    # -- messages --------------------------------------------------------------------------------------------

    def messages(self, account: Account, folder: str = "INBOX") -> list[bytes]:
        """Every message of a folder, as it lies there; none when there is no such folder."""
        with self.imap(account) as client:
            if client.select(f'"{folder}"', readonly=True)[0] != "OK":
                return []
            found = client.uid("SEARCH", "ALL")[1][0].split()
            answers = [client.uid("FETCH", number.decode(), "(BODY.PEEK[])")[1][0] for number in found]
            return [answer[1] for answer in answers if isinstance(answer, tuple)]

    def arrived(self, account: Account, mark: str | bytes, folder: str = "INBOX", *, timeout: float = 20.0) -> bytes:
        """Wait for a message that contains `mark`, and return it."""
        wanted = mark.encode() if isinstance(mark, str) else mark

        def found() -> bytes | None:
            return next((each for each in self.messages(account, folder) if wanted in each), None)

        message = self.node.wait_until(f"{mark!r} in {folder} of {account.address}", found, timeout=timeout, every=0.2)
        assert message is not None
        return message

    def settle(self, domain: str | None = None) -> None:
        """Wait until nothing is left to deliver in `domain` (the module's own)."""
        wanted = f"@{domain or self.domain}"

        def delivered() -> bool:
            queue = map(json.loads, self.node.run("postqueue", "-c", CONFIG, "-j").stdout.splitlines())
            return not any(each["address"].endswith(wanted) for message in queue for each in message["recipients"])

        self.node.wait_until("queue empty", delivered, timeout=20.0, every=0.2)


def mark() -> str:
    """A word that no other message contains."""
    return f"mark{uuid.uuid4().hex}"


def letter(sender: str, recipient: str, text: str, **headers: str) -> EmailMessage:
    """A small message."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, headers.pop("subject", "test")
    message["Message-ID"] = f"<{uuid.uuid4().hex}@client.example.net>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text + "\n")
    return message


def send(client: smtplib.SMTP, sender: str, recipient: str, text: str) -> None:
    """Send a small message to one recipient."""
    client.send_message(letter(sender or "nobody@example.net", recipient, text), sender, [recipient])


@contextmanager
def mail_node(node: Node, ca_file: Path, domain: str) -> Iterator[MailNode]:
    """A node with a domain of its own for a test module."""
    create_domain(node, domain)
    yield MailNode(node, ca_file, domain)


@dataclass
class Exchanger:
    """A mail server of the outside world on an address of the lab: takes everything, and remembers the lines it got and
    the addresses they came from. With STARTTLS among its extensions it is one whose handshake fails."""

    extensions: Sequence[str] = ("8BITMIME", "PIPELINING")
    port: int = 25
    address: str = LAB_ADDRESS
    lines: list[bytes] = field(default_factory=list)
    clients: set[str] = field(default_factory=set)
    _server: socketserver.ThreadingTCPServer | None = None

    @property
    def recipient(self) -> str:
        """An address that is delivered here without DNS."""
        return f"somebody@[{self.address}]"

    def __enter__(self) -> Self:
        exchanger = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                exchanger.clients.add(self.client_address[0])
                exchanger._serve(self.rfile, self.wfile)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((self.address, self.port), Session)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, read: Any, write: Any) -> None:
        write.write(b"220 mx.example.net ESMTP\r\n")
        in_data = False
        for line in read:
            self.lines.append(line)
            command = line[:4].upper()
            if in_data:
                in_data = line != b".\r\n"
                answer = "" if in_data else "250 2.0.0 taken"
            elif command == b"EHLO":
                answer = "\r\n".join(["250-mx.example.net", *(f"250-{each}" for each in self.extensions), "250 HELP"])
            elif command == b"DATA":
                in_data, answer = True, "354 go on"
            elif command == b"STAR":
                write.write(b"220 2.0.0 go on\r\nthis is no TLS\r\n")
                return
            elif command == b"QUIT":
                write.write(b"221 2.0.0 bye\r\n")
                return
            else:
                answer = "250 2.1.0 ok"
            if answer:
                write.write(answer.encode() + b"\r\n")

    def wait(self, part: bytes) -> bytes:
        """Wait for a line that contains `part`."""
        return wait_until(
            f"{part!r} at the exchanger", lambda: next((each for each in self.lines if part in each), b""), timeout=20.0
        )


class Wire:
    """A raw connection: bytes out, lines in. For what the libraries are too polite to send."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: str | bytes) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def line(self) -> str:
        """The next line without its end; empty when the server has hung up."""
        return self.file.readline().decode(errors="replace").rstrip("\r\n")

    def reply(self) -> str:
        """An SMTP reply, its last line."""
        line = self.line()
        while line[3:4] == "-":
            line = self.line()
        return line

    def ask(self, command: str) -> str:
        """Send an SMTP command and return the last line of its reply."""
        self.send(command + "\r\n")
        return self.reply()
