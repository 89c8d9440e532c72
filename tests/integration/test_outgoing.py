"""Mail to other servers: which one the DNS names (RFC 974; RFC 5321, 5.1), and TLS on the way there (RFC 3207)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from email import message_from_bytes
from pathlib import Path
from typing import Final

import pytest

from tests.integration.mail_clients import CONFIG, Account, Exchanger, MailNode, mail_node, mark, send
from tests.integration.name_server import name_server
from tests.lab import Lab, Node
from tests.lab.appliance import copy_ca, initialise
from tests.lab.host import command
from tests.lab.network import BRIDGE

POSTFIX: Final = "posthouse-postfix@mail.service"
#: Addresses of other people's servers, on the lab's bridge.
FIRST, SECOND, DEAD = "10.57.0.241", "10.57.0.242", "10.57.0.243"

#: `{mail}` is the node under test, `{peer}` another Posthouse.
RECORDS: Final = f"""\
mail1.posthouse.test. IN A {{mail}}
posthouse.test. IN MX 10 first.example.
peer.posthouse.test. IN A {{peer}}
peer.example. IN MX 10 peer.posthouse.test.
first.example. IN A {FIRST}
second.example. IN A {SECOND}
dead.example. IN A {DEAD}
both.example. IN MX 20 second.example.
both.example. IN MX 10 first.example.
fallback.example. IN MX 10 dead.example.
fallback.example. IN MX 20 second.example.
half.example. IN MX 10 absent.example.
half.example. IN MX 20 second.example.
bare.example. IN A {FIRST}
homes.example. IN MX 10 many.example.
many.example. IN A {DEAD}
many.example. IN A {FIRST}
renamed.example. IN CNAME both.example.
nomail.example. IN MX 0 .
hopeless.example. IN MX 10 absent.example.
ourselves.example. IN MX 10 mail1.posthouse.test.
backup.example. IN MX 10 dead.example.
backup.example. IN MX 20 mail1.posthouse.test.
backup.example. IN MX 30 second.example.
"""


@pytest.fixture(scope="module")
def peer(lab: Lab, node: Node) -> Iterator[Node]:
    """Another Posthouse, with the domain peer.example."""
    made = lab.node("peer").boot()
    try:
        initialise(made)
        yield made
    finally:
        lab.remove_node(made)


@pytest.fixture(scope="module")
def internet(lab: Lab, node: Node, peer: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Names, and addresses for servers that tests start."""
    with ExitStack() as stack:
        for address in (FIRST, SECOND, DEAD):
            command("ip", "-n", lab.namespace, "address", "add", f"{address}/32", "dev", BRIDGE)
            stack.callback(command, "ip", "-n", lab.namespace, "address", "delete", f"{address}/32", "dev", BRIDGE)
        records = RECORDS.format(mail=node.address, peer=peer.address)
        stack.enter_context(name_server(tmp_path_factory.mktemp("dns"), records))
        yield


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path, internet: None) -> Iterator[MailNode]:
    # other tests of this node may have made it
    node.run("posthouse", "domain", "delete", "posthouse.test", "--recursive", "--yes", check=False)
    with mail_node(node, ca_file, "outgoing.test") as made:
        yield made


@pytest.fixture(scope="module")
def alice(mail: MailNode) -> Account:
    return mail.mailbox("alice")


@pytest.fixture(scope="module")
def there(peer: Node, tmp_path_factory: pytest.TempPathFactory) -> MailNode:
    with mail_node(peer, copy_ca(peer, tmp_path_factory.mktemp("peer") / "ca.crt"), "peer.example") as made:
        return made


def post(mail: MailNode, alice: Account, recipient: str) -> str:
    """Send; returns a word that stands in the message."""
    word = mark()
    with mail.submission(alice) as client:
        send(client, alice.address, recipient, word)
    return word


def log_of(node: Node, recipient: str, status: str) -> str:
    """Wait for the log's line about a delivery to `recipient`."""

    def line() -> str:
        wanted = re.compile(rf"to=<{re.escape(recipient)}>.*status={status}")
        return next((each for each in node.journal(POSTFIX).splitlines() if wanted.search(each)), "")

    return node.wait_until(f"{status}: {recipient}", line, timeout=20.0, every=0.2)


# -- TLS ---------------------------------------------------------------------------------------------------------


def test_mail_to_a_server_that_offers_tls_goes_encrypted(mail: MailNode, alice: Account, there: MailNode) -> None:
    carol = there.mailbox("carol")
    word = post(mail, alice, carol.address)
    arrived = message_from_bytes(there.arrived(carol, word))
    hop = " ".join(str(arrived["Received"]).split()) + " ".join(" ".join(arrived.get_all("Received", [])).split())
    assert re.search(
        rf"from {re.escape(mail.node.hostname)} .*\(using TLSv1\.3 with cipher .*by {there.node.hostname}", hop
    )
    assert "with ESMTPS" in hop
    ours = mail.node.journal(POSTFIX)
    assert re.search(
        rf"TLS connection established to {re.escape(there.node.hostname)}\[.*\]:25: TLSv1\.3 with cipher", ours
    )


def test_mail_to_a_server_without_tls_goes_all_the_same(mail: MailNode, alice: Account) -> None:
    with Exchanger(address=FIRST) as outside:
        word = post(mail, alice, "somebody@bare.example")
        outside.wait(word.encode())
        log_of(mail.node, "somebody@bare.example", "sent")
    assert not any(line.upper().startswith(b"STARTTLS") for line in outside.lines)
    assert f"connection established to {FIRST}" not in mail.node.journal(POSTFIX)


def test_mail_to_a_server_whose_handshake_fails_waits_and_then_goes_in_the_clear(
    mail: MailNode, alice: Account
) -> None:
    """Opportunistic encryption (RFC 7435): a broken server gets its mail as one without TLS would."""
    recipient = "somebody@bare.example"
    mail.node.run("posthouse", "settings", "set", "smtp.retry_interval_min", "10s")
    try:
        mail.node.wait_until("the setting is in force", lambda: "= 10s" in backoff(mail.node), timeout=20.0, every=0.2)
        with Exchanger(address=FIRST, extensions=("STARTTLS",)) as outside:
            word = post(mail, alice, recipient)
            assert "Cannot start TLS: handshake failure" in log_of(mail.node, recipient, "deferred")
            assert word.encode() not in b"".join(outside.lines)

            def arrived() -> bool:
                mail.node.run("postqueue", "-f")
                return any(word.encode() in line for line in outside.lines)

            mail.node.wait_until("the message arrives", arrived, timeout=45.0, every=1.0)
    finally:
        mail.node.run("posthouse", "settings", "reset", "smtp.retry_interval_min")


def backoff(node: Node) -> str:
    return node.run("postconf", "-c", CONFIG, "minimal_backoff_time").stdout


# -- people without a domain --------------------------------------------------------------------------------------


def test_mail_for_postmaster_goes_to_the_hosts_domain_wherever_that_is(mail: MailNode) -> None:
    """RFC 5321, 4.5.1. The domain above our host's name is somebody else's here."""
    word = mark()
    with Exchanger(address=FIRST) as outside, mail.smtp() as client:
        client.sendmail("somebody@bare.example", ["postmaster"], f"Subject: {word}\r\n\r\nx\r\n")
        outside.wait(word.encode())
        assert any(line.startswith(b"RCPT TO:<postmaster@posthouse.test>") for line in outside.lines)


def test_mail_of_the_system_goes_to_the_hosts_domain_wherever_that_is(mail: MailNode) -> None:
    word = mark()
    with Exchanger(address=FIRST) as outside:
        mail.node.run("sh", "-c", f"printf 'Subject: {word}\\n\\nx\\n' | sendmail root")
        outside.wait(word.encode())
        assert any(line.startswith(b"RCPT TO:<root@posthouse.test>") for line in outside.lines)


# -- MX ----------------------------------------------------------------------------------------------------------


def test_of_several_servers_the_one_with_the_lowest_preference_gets_it(mail: MailNode, alice: Account) -> None:
    with Exchanger(address=FIRST) as first, Exchanger(address=SECOND) as second:
        word = post(mail, alice, "somebody@both.example")
        first.wait(word.encode())
        log_of(mail.node, "somebody@both.example", "sent")
    assert second.lines == []


@pytest.mark.parametrize(
    ("recipient", "address"),
    [
        ("somebody@fallback.example", SECOND),  # the preferred one is dead
        ("somebody@half.example", SECOND),  # the preferred one has no address
        ("nobody@bare.example", FIRST),  # no MX: the domain's own address
        ("somebody@homes.example", FIRST),  # one of the server's addresses is dead (RFC 1123, 5.3.4)
        ("somebody@renamed.example", FIRST),  # an alias of a domain (RFC 1123, 5.2.2)
    ],
)
def test_a_server_that_can_be_reached_gets_it(mail: MailNode, alice: Account, recipient: str, address: str) -> None:
    with Exchanger(address=address) as outside:
        outside.wait(post(mail, alice, recipient).encode())


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("nowhere.example", "5.4.4"),
        ("hopeless.example", "5.4.4"),
        ("nomail.example", "5.1.0"),  # RFC 7505
        ("ourselves.example", "5.4.6"),  # the DNS names us, and we know nothing of it
    ],
)
def test_what_no_server_takes_comes_back_at_once_and_says_why(
    mail: MailNode, alice: Account, domain: str, status: str
) -> None:
    word = post(mail, alice, f"somebody@{domain}")
    report = message_from_bytes(mail.arrived(alice, word))
    assert report.get_param("report-type") == "delivery-status"
    details = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
    assert f"Status: {status}".encode() in details.as_bytes()


def test_as_a_backup_we_wait_for_better_servers_and_never_ask_worse_ones(mail: MailNode, alice: Account) -> None:
    with Exchanger(address=SECOND) as worse:
        post(mail, alice, "somebody@backup.example")
        waits = log_of(mail.node, "somebody@backup.example", "deferred")
        assert "Connection refused" in waits
        number = waits.partition(": to=<")[0].rpartition(" ")[2]
        mail.node.run("posthouse", "queue", "delete", number, "--yes")
    assert worse.lines == []
