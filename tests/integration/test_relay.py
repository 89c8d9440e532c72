"""Signing in at a relay (smtp.relay_user, smtp.relay_password): only at the right one, only inside TLS, shown nowhere.

The relay is a server of the outside world on the lab's address, with a name in DNS and a certificate.
"""

from __future__ import annotations

import base64
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Self

import pytest

from appliance.pki.authority import Authority, Profile
from tests.integration.mail_clients import CONFIG, Account, MailNode, mail_node, mark, send
from tests.integration.name_server import name_server
from tests.lab import Node
from tests.lab.appliance import wait_healthy
from tests.lab.network import LAB_ADDRESS

NAME: Final = "relay.provider.example"
PORT: Final = 587
USER: Final = "customer@provider.example"
SECRET: Final = "open,sesame:9"
RECIPIENT: Final = "somebody@nowhere.example"


@dataclass
class Relay:
    """Takes mail from who signs in inside TLS. `told` are the lines it got before TLS, `signed_in` the passwords."""

    context: ssl.SSLContext
    told: list[bytes] = field(default_factory=list)
    signed_in: list[bytes] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    _server: socketserver.ThreadingTCPServer | None = None

    def __enter__(self) -> Self:
        relay = self

        class Session(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # the client does not like the certificate, or hangs up
                    relay.converse(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((LAB_ADDRESS, PORT), Session)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def converse(self, connection: socket.socket) -> None:
        """The part before TLS."""
        connection.sendall(b"220 relay ESMTP\r\n")
        with connection.makefile("rb") as lines:
            for line in iter(lines.readline, b""):
                self.told.append(line)
                if line.upper().startswith(b"STARTTLS"):
                    connection.sendall(b"220 go on\r\n")
                    break
                known = line.upper().startswith(b"EHLO")
                connection.sendall(b"250-relay\r\n250 STARTTLS\r\n" if known else b"530 5.7.0 STARTTLS first\r\n")
            else:
                return
        with self.context.wrap_socket(connection, server_side=True) as inside, inside.makefile("rb") as lines:
            for answer in self._inside(lines):
                inside.sendall(answer + b"\r\n")

    def _inside(self, lines: BinaryIO) -> Iterator[bytes]:
        """What is answered inside TLS."""
        known = False
        for line in iter(lines.readline, b""):
            words = line.upper().split()
            if words[:2] == [b"AUTH", b"PLAIN"]:
                self.signed_in.append(base64.b64decode(line.split()[2]))
                known = self.signed_in[-1] == f"\0{USER}\0{SECRET}".encode()
                yield b"235 2.7.0 welcome" if known else b"535 5.7.8 who?"
            elif words[:1] == [b"EHLO"]:
                yield b"250-relay\r\n250 AUTH PLAIN LOGIN"
            elif words == [b"QUIT"]:
                yield b"221 2.0.0 bye"
                return
            elif not known:
                yield b"530 5.7.0 sign in first"
            elif words == [b"DATA"]:
                yield b"354 go on"
                self.letters.append(b"".join(iter(lines.readline, b".\r\n")))
                yield b"250 2.0.0 taken"
            else:
                yield b"250 2.1.0 ok"


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "relay.test") as made:
        yield made


@pytest.fixture(scope="module")
def alice(mail: MailNode) -> Account:
    return mail.mailbox("alice")


@pytest.fixture(scope="module")
def authority(node: Node) -> Authority:
    """An authority that the node trusts like those of the web."""
    made = Authority.create("Provider's authority")
    trusted = node.root / "usr/local/share/ca-certificates/provider.crt"
    trusted.parent.mkdir(parents=True, exist_ok=True)
    trusted.write_bytes(made.pair().certificate)
    node.run("update-ca-certificates")
    return made


@pytest.fixture(scope="module")
def signing_in(mail: MailNode, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Everything goes through the relay, by name and password."""
    run = mail.node.run
    given = {"relay_host": f"[{NAME}]:{PORT}", "relay_password": SECRET, "relay_user": USER}
    with name_server(tmp_path_factory.mktemp("dns"), f"{NAME}. IN A {LAB_ADDRESS}\n"):
        for name, value in given.items():
            run("posthouse", "settings", "set", f"smtp.{name}", "--stdin", input=f"{value}\n")
        asked = ("postconf", "-c", CONFIG, "-h", "smtp_sasl_auth_enable")
        mail.node.wait_until("rendered", lambda: run(*asked).stdout.strip() == "yes")
        try:
            yield
        finally:
            for name in reversed(list(given)):
                run("posthouse", "settings", "reset", f"smtp.{name}")
            wait_healthy(mail.node)


@pytest.fixture
def relay(authority: Authority, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Relay]:
    """The relay, with a certificate for the name that the test says (or its own)."""
    pair = authority.issue(Profile.MAIL, "relay", [getattr(request, "param", NAME)])
    (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    with Relay(context) as running:
        yield running


def flushed(mail: MailNode) -> None:
    """What an older process put off goes now."""
    mail.node.run("posthouse", "queue", "flush")


def test_a_user_without_a_password_or_at_an_address_is_refused(mail: MailNode) -> None:
    done = mail.node.run("posthouse", "settings", "set", "smtp.relay_user", USER, check=False)
    assert done.returncode == 2
    assert "smtp.relay_host must be a host name" in done.stderr


@pytest.mark.usefixtures("signing_in")
def test_mail_goes_through_the_relay_by_name_and_password(mail: MailNode, alice: Account, relay: Relay) -> None:
    with mail.submission(alice) as client:
        send(client, alice.address, RECIPIENT, word := mark())

    def passed() -> bool:
        flushed(mail)
        return any(word.encode() in letter for letter in relay.letters)

    mail.node.wait_until("the letter at the relay", passed, timeout=60.0, every=1.0)
    assert {line.split()[0] for line in relay.told} == {b"EHLO", b"STARTTLS"}


@pytest.mark.usefixtures("signing_in")
@pytest.mark.parametrize("relay", ["elsewhere.example"], indirect=True)
def test_who_is_not_the_relay_by_its_certificate_learns_no_password(
    mail: MailNode, alice: Account, relay: Relay
) -> None:
    with mail.submission(alice) as client:
        send(client, alice.address, RECIPIENT, mark())

    def reason() -> str:
        flushed(mail)
        queue = json.loads(mail.node.run("posthouse", "queue", "list", "--json").stdout)
        return next(
            (str(each["recipients"][0]["delay_reason"]) for each in queue if each["sender"] == alice.address), ""
        )

    mail.node.wait_until("put off", lambda: "certificate" in reason(), timeout=60.0, every=1.0)
    mail.node.run("posthouse", "queue", "delete", "--all", "--yes")
    assert (relay.signed_in, relay.letters) == ([], [])


@pytest.mark.usefixtures("signing_in")
def test_the_password_stands_in_one_file_of_root_and_nowhere_else(mail: MailNode) -> None:
    run = mail.node.run
    assert run("stat", "--format=%a %U", f"{CONFIG}/relay-password").stdout.strip() == "600 root"
    shown = run("posthouse", "settings", "list").stdout + run("posthouse", "settings", "list", "--json").stdout
    shown += run("posthouse", "settings", "show", "smtp.relay_password", "--json").stdout
    assert "********" in shown
    journal = run("journalctl", "--no-pager", "--boot").stdout
    assert SECRET not in shown + journal
    files = ("/var/lib/posthouse", "/run/posthouse", "/etc/posthouse")
    found = run("grep", "-rl", "--text", "--fixed-strings", SECRET, *files, check=False).stdout.split()
    assert {Path(each).name for each in found} == {"relay-password"}


def test_a_secret_is_not_taken_from_the_command_line(mail: MailNode) -> None:
    done = mail.node.run("posthouse", "settings", "set", "smtp.relay_password", SECRET, check=False)
    assert done.returncode == 2
    assert SECRET not in done.stderr
