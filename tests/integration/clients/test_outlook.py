"""How Outlook Express, Outlook and Foxmail sign in to send: old dialects of AUTH LOGIN, byte for byte on the wire."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest

from tests.integration.letters import without_trace, written
from tests.integration.mail_clients import Account, MailNode, Wire, mark


def coded(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.fixture
def wire(mail: MailNode) -> Iterator[Wire]:
    """Port 465 after a greeting by a computer's bare name, as Windows clients send it."""
    with Wire(mail.node.address, 465, mail.context) as made:
        assert made.reply().startswith("220 ")
        yield made


def offered(wire: Wire) -> list[str]:
    """All lines of the answer to EHLO, without codes."""
    wire.send("EHLO WANG-PC\r\n")
    lines = [wire.line()]
    while lines[-1].startswith("250-"):
        lines.append(wire.line())
    assert lines[-1].startswith("250 ")
    return [line[4:] for line in lines]


def send(wire: Wire, sender: Account, recipient: Account) -> tuple[str, bytes]:
    """A message as Outlook Express words it; returns its mark and its bytes."""
    message = written(sender.address, recipient.address, word := mark())
    assert wire.ask(f"MAIL FROM: <{sender.address}>").startswith("250 ")
    assert wire.ask(f"RCPT TO: <{recipient.address}>").startswith("250 ")
    assert wire.ask("DATA").startswith("354 ")
    wire.send(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    assert wire.reply().startswith("250 2.0.0")
    assert wire.ask("QUIT").startswith("221 ")
    return word, message


def test_the_offer_is_worded_in_the_old_way_too(wire: Wire) -> None:
    lines = offered(wire)
    assert "AUTH PLAIN LOGIN" in lines
    assert "AUTH=PLAIN LOGIN" in lines


def test_outlook_express_is_asked_for_name_and_password_in_turn(
    mail: MailNode, wire: Wire, wang: Account, li: Account
) -> None:
    offered(wire)
    question = wire.ask("AUTH LOGIN")
    assert (question[:4], b64decode(question[4:])) == ("334 ", b"Username:")
    question = wire.ask(coded(wang.address))
    assert (question[:4], b64decode(question[4:])) == ("334 ", b"Password:")
    assert wire.ask(coded(wang.password)) == "235 2.7.0 Authentication successful"
    word, message = send(wire, wang, li)
    assert without_trace(mail.arrived(li, word)) == message


def test_outlook_gives_the_name_with_the_command(mail: MailNode, wire: Wire, wang: Account, li: Account) -> None:
    offered(wire)
    question = wire.ask(f"AUTH LOGIN {coded(wang.address)}")
    assert (question[:4], b64decode(question[4:])) == ("334 ", b"Password:")
    assert wire.ask(coded(wang.password)).startswith("235 ")
    mail.arrived(li, send(wire, wang, li)[0])


def test_a_lower_case_command_and_a_plain_answer_of_two_steps_are_understood(wire: Wire, wang: Account) -> None:
    offered(wire)
    assert wire.ask("auth plain") == "334 "
    assert wire.ask(coded(f"\0{wang.address}\0{wang.password}")).startswith("235 ")


def test_a_person_who_gives_up_signing_in_may_try_again(wire: Wire, wang: Account) -> None:
    offered(wire)
    assert wire.ask("AUTH LOGIN").startswith("334 ")
    assert wire.ask("*").startswith("501 5.7.0")
    assert wire.ask(f"AUTH PLAIN {coded(f'{chr(0)}{wang.address}{chr(0)}{wang.password}')}").startswith("235 ")
