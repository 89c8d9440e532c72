"""Two groups on one node: whichever a client comes to, mail and logins reach the one that has the mailbox."""

from __future__ import annotations

import base64
import imaplib
import poplib
import smtplib
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator

import pytest

from appliance import paths
from appliance.cluster.names import NodeName
from appliance.engines import topology
from appliance.pki import revocation
from appliance.pki.authority import Authority, Pair, Profile
from appliance.pki.names import MAIL_NAME
from tests.lab import Lab, Node
from tests.lab.appliance import create_domain, initialise, status
from tests.load.workers import insecure

MAIL, TWO = "10.57.0.211", "10.57.0.212"
PASSWORD = "Correct-horse-battery-7"
HERE, THERE = "anna@meet.test", "berta@meet.test"
_UNITS = ("posthouse-dovecot@two.service", "posthouse-postfix@two.service")


def healthy(node: Node) -> bool:
    report = status(node)
    running = {each["instance"] for each in report.get("instances", ())}
    return bool(report.get("healthy")) and running >= {"postfix@mail", "dovecot@mail", "postfix@two", "dovecot@two"}


@pytest.fixture(scope="module")
def both(lab: Lab) -> Iterator[Node]:
    """A node with the groups mail and two, each on an address of its own, and a mailbox in each."""
    node = lab.node("both").boot()
    try:
        initialise(node)
        node.run("posthouse", "group", "set", "mail", "--address", MAIL)
        volume = ("--volume", "directory", "--candidate", "both", "--address", TWO)
        node.run("posthouse", "group", "create", "two", *volume, timeout=120)
        node.wait_until("both groups answer", lambda: healthy(node), timeout=90)
        create_domain(node, "meet.test")
        for address, group in ((HERE, "mail"), (THERE, "two")):
            words = ("mailbox", "create", address, "--password-stdin", "--group", group)
            node.run("posthouse", *words, input=PASSWORD + "\n")
        yield node
    finally:
        lab.remove_node(node)


def letter(identity: str) -> str:
    return f"From: <x@outside.test>\r\nMessage-ID: <{identity}@meet.test>\r\nSubject: {identity}\r\n\r\nhello\r\n"


def send(host: str, *recipients: str) -> str:
    """By port 25; the message's subject."""
    identity = uuid.uuid4().hex
    with smtplib.SMTP(host, topology.SMTP, timeout=20) as session:
        assert session.sendmail("x@outside.test", recipients, letter(identity)) == {}
    return identity


def mailbox(host: str, address: str) -> imaplib.IMAP4_SSL:
    session = imaplib.IMAP4_SSL(host, ssl_context=insecure(), timeout=40)
    session.login(address, PASSWORD)
    session.select("INBOX")
    return session


def arrived(host: str, address: str, identity: str) -> int:
    """How often it stands in the inbox."""
    with mailbox(host, address) as session:
        return len(session.search(None, "SUBJECT", identity)[1][0].split())


@pytest.mark.parametrize("host", [MAIL, TWO])
def test_mail_for_both_groups_reaches_both_from_either_address(both: Node, host: str) -> None:
    identity = send(host, HERE, THERE)
    for address in (HERE, THERE):
        both.wait_until(f"it is with {address}", lambda to=address: arrived(host, to, identity) == 1)  # type: ignore[misc]


@pytest.mark.parametrize("host", [MAIL, TWO])
def test_everybody_may_send_at_either_address(both: Node, host: str) -> None:
    identity = uuid.uuid4().hex
    for sender, port in ((HERE, topology.SUBMISSIONS), (THERE, topology.SUBMISSIONS)):
        with smtplib.SMTP_SSL(host, port, context=insecure(), timeout=20) as session:
            session.login(sender, PASSWORD)
            assert session.sendmail(sender, [HERE, THERE], letter(identity)) == {}
        with (
            smtplib.SMTP_SSL(host, port, context=insecure(), timeout=20) as session,
            pytest.raises(smtplib.SMTPAuthenticationError),
        ):
            session.login(sender, "wrong")
    for address in (HERE, THERE):
        both.wait_until(f"both are with {address}", lambda to=address: arrived(host, to, identity) == 2)  # type: ignore[misc]


@pytest.mark.parametrize(("host", "address"), [(MAIL, THERE), (TWO, HERE)])
def test_pop3_and_managesieve_are_passed_on_too(both: Node, host: str, address: str) -> None:
    pop = poplib.POP3_SSL(host, context=insecure(), timeout=20)
    pop.user(address)
    pop.pass_(PASSWORD)
    pop.quit()
    assert sieve_login(host, address)


def sieve_login(host: str, address: str, password: str = PASSWORD) -> bool:
    """ManageSieve (RFC 5804) by hand: STARTTLS, AUTHENTICATE PLAIN."""
    with socket.create_connection((host, topology.MANAGESIEVE), timeout=20) as plain:
        _until_ok(plain)
        plain.sendall(b"STARTTLS\r\n")
        _until_ok(plain)
        with insecure().wrap_socket(plain) as secret:
            _until_ok(secret)
            token = base64.b64encode(f"\0{address}\0{password}".encode()).decode()
            secret.sendall(f'AUTHENTICATE "PLAIN" "{token}"\r\n'.encode())
            return _until_ok(secret)


def _until_ok(connection: socket.socket) -> bool:
    said = b""
    while True:
        part = connection.recv(4096)
        said += part
        lines = said.splitlines()
        if lines and lines[-1].startswith(b"OK") and said.endswith(b"\r\n"):
            return True
        if not part or any(line.startswith(b"NO") for line in lines):
            return False


def test_the_other_group_hears_who_the_client_is(both: Node) -> None:
    with mailbox(MAIL, THERE) as session:
        own = session.socket().getsockname()[0]
    both.wait_until(
        "its log names the client",
        lambda: f"user=<{THERE}>, method=PLAIN, rip={own}" in both.journal("posthouse-dovecot@two.service"),
    )


def test_a_login_waits_while_the_other_group_is_away(both: Node) -> None:
    both.run("systemctl", "stop", "posthouse-agent.service")
    both.run("systemctl", "stop", _UNITS[0])
    outcome: list[object] = []

    def log_in() -> None:
        try:
            with mailbox(MAIL, THERE):
                outcome.append("in")
        except (OSError, imaplib.IMAP4.error) as error:
            outcome.append(error)

    client = threading.Thread(target=log_in)
    client.start()
    try:
        client.join(3)
        assert outcome == [], "it is told nothing while it may still come in"
    finally:
        both.run("systemctl", "start", _UNITS[0])
        client.join(30)
        both.run("systemctl", "start", "posthouse-agent.service")
    assert outcome == ["in"]


def test_mail_waits_while_the_other_group_is_away_and_comes_when_it_is_back(both: Node) -> None:
    both.run("systemctl", "stop", "posthouse-agent.service")
    both.run("systemctl", "stop", *_UNITS)
    try:
        identity = send(MAIL, THERE)
        queue = ("postqueue", "-c", "/var/lib/posthouse/engines/postfix@mail/current", "-j")
        both.wait_until("it waits", lambda: '"deferred"' in both.run(*queue).stdout)
    finally:
        both.run("systemctl", "start", *_UNITS)
        both.run("systemctl", "start", "posthouse-agent.service")
    both.wait_until("it is there", lambda: arrived(TWO, THERE, identity) == 1, timeout=45)


@pytest.mark.parametrize("shown", [None, "mail"], ids=["no certificate", "one for mail programs"])
def test_intake_is_for_groups_of_the_installation_alone(both: Node, shown: str | None) -> None:
    context = insecure()
    if shown:
        pair = both.root / "etc/posthouse/pki" / f"{shown}.d" / "current"
        context.load_cert_chain(pair / "certificate.pem", pair / "key.pem")
    with smtplib.SMTP(TWO, topology.INTAKE, timeout=20) as session:
        session.ehlo()
        assert "auth" not in session.esmtp_features
        assert session.docmd("MAIL", "FROM:<x@outside.test>")[0] == 530
        with pytest.raises((smtplib.SMTPServerDisconnected, ssl.SSLError)):
            _begin(session, context)
        session.close()


def _begin(session: smtplib.SMTP, context: ssl.SSLContext) -> None:
    """With TLS 1.3 a client hears that its certificate was refused when it speaks next."""
    session.starttls(context=context)
    session.ehlo()
    session.mail("x@outside.test")


def test_intake_takes_no_mailbox_that_is_elsewhere_and_relays_nothing(both: Node) -> None:
    context = ssl.create_default_context(cadata=both.run("cat", "/etc/posthouse/pki/ca.crt").stdout)
    context.check_hostname = False
    pki = both.root / "etc/posthouse/pki"
    context.load_cert_chain(pki / "relay.d/current/certificate.pem", pki / "relay.d/current/key.pem")
    with smtplib.SMTP(TWO, topology.INTAKE, timeout=20) as session:
        session.starttls(context=context)
        session.ehlo()
        assert session.mail("x@outside.test")[0] == 250
        assert session.rcpt(THERE)[0] == 250
        assert session.rcpt(HERE)[0] == 450
        assert session.rcpt("nobody@meet.test")[0] == 550
        assert session.rcpt("somebody@outside.test")[0] == 554


def test_intake_refuses_a_certificate_that_was_revoked(both: Node) -> None:
    """As on every node of a cluster once its server was removed: the agent writes the table, and the list beside it."""
    pki = both.root / "etc/posthouse/pki"
    authority = Authority.load(Pair((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes()))
    gone = authority.issue(Profile.RELAY, "mail.gone", [MAIL_NAME])
    entry = revocation.entry(NodeName("gone"), gone.leaf())

    def answer() -> int:
        context = insecure()
        (pki / "gone.pem").write_bytes(gone.certificate + gone.key)
        context.load_cert_chain(pki / "gone.pem")
        with smtplib.SMTP(TWO, topology.INTAKE, timeout=20) as session:
            session.starttls(context=context)
            session.ehlo()
            session.mail("x@outside.test")
            return session.rcpt(THERE)[0]

    assert answer() == 250
    (pki / paths.REVOKED_TABLE.name).write_text(f"{entry.fingerprint} REJECT\n")
    try:
        both.wait_until("it is refused", lambda: answer() == 554, timeout=60, every=1)
        identity = send(MAIL, THERE)
        both.wait_until("groups go on", lambda: arrived(TWO, THERE, identity) == 1, timeout=45)
    finally:
        (pki / paths.REVOKED_TABLE.name).unlink()
        (pki / "gone.pem").unlink()
    both.wait_until("healthy", lambda: healthy(both), timeout=60)
