"""Where a server may stand (docs/operators/topologies.md): behind a router (NAT), a packet filter, a gateway.

    outside 203.0.113.9 ── 203.0.113.1 router 10.57.0.N ── the lab's bridge ── the server 10.57.0.M

The router is a node of the lab with nftables and nothing of ours; "outside" is a network namespace of its own.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Final

import pytest

from tests.integration.mail_clients import TIMEOUT, Account, Exchanger, MailNode, mail_node, mark, send
from tests.lab import Lab, Node
from tests.lab.appliance import copy_ca, initialise, status
from tests.lab.host import command
from tests.lab.network import LAB_ADDRESS, entered

OUTSIDE: Final = "203.0.113.9"
PUBLIC: Final = "203.0.113.1"
PAGE: Final = Path(__file__).parents[2] / "docs/operators/topologies.md"

#: What a router of a home or an office does: ports forwarded with the sender's address kept, the inside masqueraded.
NAT: Final = """
table ip nat {{
    chain in {{
        type nat hook prerouting priority -100;
        iifname "wan" tcp dport {{ 25, 465, 587, 993, 995 }} dnat to {server}
    }}
    chain out {{
        type nat hook postrouting priority 100;
        oifname "wan" masquerade
    }}
}}
"""


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[Node]:
    """A server of its own: its routes and its packet filter are changed."""
    made = lab.node("inside").boot()
    try:
        initialise(made)
        yield made
    finally:
        lab.remove_node(made)


@pytest.fixture(scope="module")
def mail(server: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailNode]:
    with mail_node(server, copy_ca(server, tmp_path_factory.mktemp("pki") / "ca.crt"), "topology.test") as made:
        yield made


@pytest.fixture(scope="module")
def alice(mail: MailNode) -> Account:
    return mail.mailbox("alice")


# -- behind a router ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beyond:
    """The network on the router's other side; what a thread opens inside `entered()` starts there."""

    namespace: str

    @contextmanager
    def entered(self) -> Iterator[None]:
        with entered(self.namespace):
            yield


@pytest.fixture(scope="module")
def beyond(lab: Lab, server: Node) -> Iterator[Beyond]:
    """The router and the network beyond it."""
    outside = f"{lab.machine}-outside"
    with ExitStack() as stack:
        router = lab.node("router").boot()
        stack.callback(lab.remove_node, router)
        command("ip", "netns", "add", outside)
        stack.callback(command, "ip", "netns", "delete", outside)
        pair = ("wan", "type", "veth", "peer", "name", "eth0", "netns", outside)
        command("ip", "-n", router.machine, "link", "add", *pair)
        for namespace, device, address in ((router.machine, "wan", PUBLIC), (outside, "eth0", OUTSIDE)):
            command("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", device)
            command("ip", "-n", namespace, "link", "set", device, "up")
        command("ip", "-n", outside, "link", "set", "lo", "up")
        command("ip", "netns", "exec", router.machine, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        router.run("nft", "-f", "-", input=NAT.format(server=server.address))
        command("ip", "-n", server.machine, "route", "add", "default", "via", router.address)
        stack.callback(command, "ip", "-n", server.machine, "route", "delete", "default")
        yield Beyond(outside)


def test_behind_a_router_mail_comes_in_and_the_senders_address_is_known(
    mail: MailNode, alice: Account, beyond: Beyond
) -> None:
    word = mark()
    with beyond.entered(), smtplib.SMTP(PUBLIC, 25, local_hostname="mx.example.net", timeout=TIMEOUT) as client:
        send(client, "somebody@example.net", alice.address, word)
        client.mail("somebody@example.net")
        # who comes through the router is a stranger like any other
        assert client.rcpt("victim@example.org")[0] == 554
    received = message_from_bytes(mail.arrived(alice, word)).get_all("Received", [])
    assert any(f"[{OUTSIDE}]" in each for each in received)


def test_behind_a_router_people_outside_sign_in_and_send(mail: MailNode, alice: Account, beyond: Beyond) -> None:
    word = mark()
    with beyond.entered(), smtplib.SMTP_SSL(PUBLIC, 465, context=_unnamed(mail), timeout=TIMEOUT) as client:
        client.login(alice.address, alice.password)
        send(client, alice.address, alice.address, word)
    mail.arrived(alice, word)


def test_behind_a_router_mail_goes_out_from_the_routers_address(mail: MailNode, alice: Account, beyond: Beyond) -> None:
    word = mark()
    with beyond.entered():
        stranger = Exchanger(address=OUTSIDE).__enter__()
    try:
        with mail.submission(alice) as client:
            send(client, alice.address, f"somebody@[{OUTSIDE}]", word)
        stranger.wait(word.encode())
        assert stranger.clients == {PUBLIC}
    finally:
        stranger.__exit__()


def test_what_the_router_does_not_forward_is_out_of_reach(beyond: Beyond) -> None:
    with beyond.entered():
        for port in (2379, 2380, 10025, 4190, 143):
            assert not _answers(PUBLIC, port)


def _unnamed(mail: MailNode) -> ssl.SSLContext:
    """TLS that knows the installation's authority; the address PUBLIC is not in the certificate."""
    context = mail.context
    context.check_hostname = False
    return context


# -- behind a packet filter, in a DMZ ----------------------------------------------------------------------------


def rules_of_the_page() -> str:
    """The rules for nftables that the page gives as its example."""
    block = re.search(r"^    table inet filter \{\n(?:    .*\n)+?    \}\n", PAGE.read_text(encoding="utf-8"), re.M)
    assert block is not None
    return block[0]


def test_with_the_packet_filter_of_the_page_everything_works_and_nothing_else_answers(
    mail: MailNode, alice: Account
) -> None:
    mail.node.run("nft", "-f", "-", input=rules_of_the_page())
    try:
        word, outgoing = mark(), mark()
        with mail.smtp() as client:
            send(client, "somebody@example.net", alice.address, word)
        mail.arrived(alice, word)
        with Exchanger() as outside, mail.submission(alice) as client:
            send(client, alice.address, outside.recipient, outgoing)
            outside.wait(outgoing.encode())
        with mail.imap(alice) as session:
            assert session.select("INBOX")[0] == "OK"
        listening = mail.node.run("ss", "-Hlnt").stdout.split("\n")
        ports = {int(line.split()[3].rpartition(":")[2]) for line in listening if line.strip()}
        assert {2379, 2380, 10025} <= ports
        reachable = {port for port in ports if _answers(mail.node.address, port)}
        assert reachable == {25, 110, 143, 465, 587, 993, 995, 4190}
    finally:
        mail.node.run("nft", "delete", "table", "inet", "filter")


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1.0).close()
    except OSError:
        return False
    return True


# -- behind a gateway --------------------------------------------------------------------------------------------


def test_with_a_gateway_all_mail_for_elsewhere_goes_through_it(mail: MailNode, alice: Account) -> None:
    before = _generation(mail.node)
    mail.node.run("posthouse", "settings", "set", "smtp.relay_host", f"[{LAB_ADDRESS}]:2525")
    try:
        mail.node.wait_until("reported", lambda: _generation(mail.node) != before)
        inside, word = mark(), mark()
        with Exchanger(port=2525) as gateway:
            with mail.submission(alice) as client:
                send(client, alice.address, "somebody@nowhere.example", word)
                send(client, alice.address, alice.address, inside)

            def passed() -> bool:
                """What a process from before the reload put off goes now, as an operator would have it."""
                mail.node.run("posthouse", "queue", "flush")
                return any(word.encode() in line for line in gateway.lines)

            mail.node.wait_until("the letter at the gateway", passed, timeout=60.0, every=1.0)
            mail.arrived(alice, inside)
        assert not any(inside.encode() in line for line in gateway.lines)
    finally:
        mail.node.run("posthouse", "settings", "reset", "smtp.relay_host")


def _generation(node: Node) -> str:
    """The generation of Postfix's configuration that the node reports."""
    return next(str(each["generation"]) for each in status(node)["instances"] if each["instance"] == "postfix@mail")
