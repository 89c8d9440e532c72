"""Messages as RFC 822 and RFC 2076 describe them, and what RFC 1123 (section 5) asks of a mail host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import pytest

from tests.integration.mail_clients import Account, MailNode, Wire, mail_node, mark
from tests.lab import Node

OUTSIDE: Final = "somebody@example.net"

#: RFC 822, appendix A.3.3, with what makes parsing hard: comments, folding, groups, quoted words, odd case.
RFC_822: Final = """\
Date     :  27 Aug 76 09:32 PDT
From     :  Ken Davis <KDavis@This-Host.This-net>
Subject  :  Re: The Syntax in the RFC {word}
Sender   :  KSecy@Other-Host
Reply-To :  Sam.Irving@Reg.Organization
To       :  George Jones <Group@Some-Reg.An-Org>,
            Al.Neuman@MAD.Publisher
cc       :  Important folk:
              Tom Softwood <Balsa@Tree.Root>,
              "Sam Irving"@Other-Host;,
            Standard Distribution:
              /main/davis/people/standard@Other-Host,
              "<Jones>standard.dist.3"@Tops-20-Host>;
Comment  :  Sam is away on business. He asked me to handle
            his mail for him.  He'll be able to provide  a
            more  accurate  explanation  when  he  returns
            next week.
In-Reply-To: <some.string@DBM.Group>, George's message
X-Special-action:  This is a sample of user-defined field-
            names.  There could also be a field-name
            "Special-action", but its name might later be
            preempted
Message-ID: <4231.629.XYzi-What@Other-Host>
"""

#: From the tables of RFC 2076. Those of the envelope and blind copies have a test of their own; Content-Length is
#: dropped by Postfix, since it is wrong after any change.
_HEADERS: Final = """
MIME-Version Control Also-Control Path Original-Encoded-Information-Types Alternate-Recipient
Disclose-Recipients Content-Disposition From Approved Sender To Cc For-Handling For-Comment Newsgroups
Apparently-To Distribution Fax Telefax Phone Mail-System-Version Mailer Originating-Client X-Mailer X-Newsreader
Reply-To Followup-To Errors-To Return-Receipt-To Prevent-NonDelivery-Report Generate-Delivery-Report
Content-Return X400-Content-Return Message-ID Content-ID Content-Base Content-Location In-Reply-To References
See-Also Obsoletes Supersedes Article-Updates Article-Names Keywords Subject Comments Content-Description
Organization Organisation Summary Content-Identifier Delivery-Date Date Expires Expiry-Date Reply-By Priority
Precedence Importance Sensitivity Incomplete-Copy Language Content-Language Lines Conversion Content-Conversion
Conversion-With-Loss Content-Type Content-SGML-Entity Content-Transfer-Encoding Message-Type Encoding
Resent-Reply-To Resent-From Resent-Sender Resent-Date Resent-To Resent-Cc Resent-Message-ID Content-MD5 Xref Fcc
Auto-Forwarded Discarded-X400-IPMS-Extensions Discarded-X400-MTS-Extensions Status
"""
RFC_2076: Final = tuple(_HEADERS.split())


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "format.test") as made:
        yield made


@pytest.fixture(scope="module")
def alice(mail: MailNode) -> Account:
    return mail.mailbox("alice")


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def deliver(mail: MailNode, account: Account, raw: bytes, word: str, *, sender: str = OUTSIDE) -> bytes:
    """Send bytes from outside; what lies in the mailbox."""
    with mail.smtp() as client:
        assert client.sendmail(sender, [account.address], raw) == {}
    return mail.arrived(account, word)


# -- RFC 822 -----------------------------------------------------------------------------------------------------


def test_a_message_of_1982_arrives_as_it_was_sent_but_for_blanks_before_colons(mail: MailNode, alice: Account) -> None:
    """RFC 822 allows these, RFC 5322 forbids to make them, Postfix takes them away."""
    word = mark()
    raw = crlf(RFC_822.format(word=word) + "\nThe body.\n.\n..\n\ttab, form feed\f\n")
    assert deliver(mail, alice, raw, word).endswith(re.sub(rb"(?m)^([\w-]+) +:", rb"\1:", raw))


def test_its_addresses_groups_and_date_are_understood(mail: MailNode, alice: Account) -> None:
    word = mark()
    deliver(mail, alice, crlf(RFC_822.format(word=word) + "\nx\n"), word)
    with mail.imap(alice) as client:
        client.select("INBOX", readonly=True)
        number = client.search(None, "SUBJECT", word)[1][0].decode()
        answer = client.fetch(number, "(ENVELOPE)")[1]
        assert (
            client.search(None, "SENTSINCE", "26-Aug-1976", "SENTBEFORE", "29-Aug-1976", "SUBJECT", word)[1][0] != b""
        )
        assert client.search(None, "FROM", "KDavis@This-Host", "SUBJECT", word)[1][0].decode() == number
    # names in quotes may come as literals
    text = b"".join(part if isinstance(part, bytes) else b"".join(part) for part in answer if part).decode()
    assert '("Ken Davis" NIL "KDavis" "This-Host.This-net")' in text
    assert '(("George Jones" NIL "Group" "Some-Reg.An-Org")(NIL NIL "Al.Neuman" "MAD.Publisher"))' in text
    # a group begins with its name and ends with nothing (RFC 3501, 7.4.2)
    assert '(NIL NIL "Important folk" NIL)("Tom Softwood" NIL "Balsa" "Tree.Root")' in text
    assert "(NIL NIL NIL NIL)" in text


@pytest.mark.parametrize("raw", ["\n{word}\n", "Subject: {word}\n", "{word} is no header\nat all\n"], ids=repr)
def test_a_message_without_headers_body_or_sense_arrives(mail: MailNode, alice: Account, raw: str) -> None:
    word = mark()
    assert word.encode() in deliver(mail, alice, crlf(raw.format(word=word)), word)


def test_what_a_mail_program_leaves_out_is_added_when_it_sends(mail: MailNode, alice: Account) -> None:
    word = mark()
    with mail.submission(alice) as client:
        client.sendmail(alice.address, [alice.address], crlf(f"Subject: {word}\n\nx\n"))
    message = message_from_bytes(mail.arrived(alice, word))
    assert str(message["From"]).strip("<>") == alice.address
    assert parsedate_to_datetime(str(message["Date"])).tzinfo is not None
    assert re.fullmatch(r"<[^@<> ]+@[^@<> ]+>", str(message["Message-ID"]))


def test_nothing_is_added_to_what_comes_from_elsewhere(mail: MailNode, alice: Account) -> None:
    word = mark()
    message = message_from_bytes(deliver(mail, alice, crlf(f"Subject: {word}\n\nx\n"), word))
    assert set(message.keys()) == {"Return-Path", "Delivered-To", "Received", "Subject"}


# -- RFC 2076 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_outside", [True, False], ids=["port 25", "submission"])
def test_common_headers_arrive_as_they_were_sent(mail: MailNode, alice: Account, from_outside: bool) -> None:
    word = mark()
    values = {name: f"{name} {word}" for name in RFC_2076}
    values |= {name: f"Alice <{alice.address}>" for name in RFC_2076 if name.endswith(("From", "Sender", "To", "Cc"))}
    values |= {"Date": "Tue, 24 Nov 2026 06:06:29 +0000", "Message-ID": f"<{word}@example.net>", "MIME-Version": "1.0"}
    values |= {"Content-Type": "text/plain; charset=us-ascii", "Content-Transfer-Encoding": "7bit"}
    raw = crlf("".join(f"{name}: {value}\n" for name, value in values.items()) + "\nx\n")
    with mail.smtp() if from_outside else mail.submission(alice) as client:
        client.sendmail(OUTSIDE if from_outside else alice.address, [alice.address], raw)
    assert mail.arrived(alice, word).endswith(raw)


def test_headers_of_the_envelope_are_ours_and_blind_copies_are_nobodys(mail: MailNode, alice: Account) -> None:
    word = mark()
    forged = f"Return-Path: <forged@example.net>\nBcc: secret@example.net\nSubject: {word}\n\nx\n"
    message = message_from_bytes(deliver(mail, alice, crlf(forged), word))
    assert message.get_all("Return-Path") == [f"<{OUTSIDE}>"]
    assert message.get_all("Delivered-To") == [alice.address]
    assert "Bcc" not in message


# -- RFC 1123, section 5 -----------------------------------------------------------------------------------------


def test_the_received_line_names_client_server_protocol_and_time(mail: MailNode, alice: Account) -> None:
    """5.2.8; RFC 5321, 4.4."""
    word = mark()
    message = message_from_bytes(deliver(mail, alice, crlf(f"Subject: {word}\n\nx\n"), word))
    lines = [" ".join(each.split()) for each in message.get_all("Received", [])]
    told = re.compile(
        r"from client\.example\.net \(.*\[10\.57\.0\.254\]\) "
        rf"by {re.escape(mail.node.hostname)} \(.*\) with ESMTP id \S+ "
        rf"for <{re.escape(alice.address)}>; (\w+, \d+ \w+ \d{{4}} [\d:]+ [+-]\d{{4}}) .*"
    )
    assert [match for each in lines if (match := told.fullmatch(each))]


@pytest.mark.parametrize(
    "name",
    [
        "client.example.net",
        "no-such-host.example.org",
        "[10.57.0.254]",
        # two colons in a test's name are a class or module to those who share out the tests
        pytest.param("[IPv6:fd57::fe]", id="IPv6"),
        "localhost",
    ],
)
def test_a_greeting_that_cannot_be_verified_is_no_reason_to_refuse(mail: MailNode, alice: Account, name: str) -> None:
    """5.2.5."""
    with Wire(mail.node.address, 25) as wire:
        wire.reply()
        assert wire.ask(f"HELO {name}").startswith("250")
        assert wire.ask(f"MAIL FROM:<{OUTSIDE}>").startswith("250")
        assert wire.ask(f"RCPT TO:<{alice.address}>").startswith("250")


def test_postmaster_needs_no_domain(mail: MailNode) -> None:
    """5.2.7; RFC 5321, 4.5.1."""
    with mail.smtp() as client:
        client.mail(OUTSIDE)
        assert client.rcpt("postmaster")[0] == 250


@pytest.mark.parametrize("local", ["postmaster", "alice"])
def test_mail_to_our_address_in_brackets_is_refused_while_its_sender_is_there(mail: MailNode, local: str) -> None:
    """5.2.17 wants it taken; whoever writes to a server instead of a domain learns at once that nobody is there."""
    with mail.smtp() as client:
        client.mail(OUTSIDE)
        assert client.rcpt(f"{local}@[{mail.node.address}]")[0] == 550


def test_reports_come_from_nobody_and_are_taken(mail: MailNode, alice: Account) -> None:
    """5.2.9."""
    word = mark()
    assert b"Return-Path: <>" in deliver(mail, alice, crlf(f"Subject: {word}\n\nx\n"), word, sender="")


@pytest.mark.parametrize("recipient", ["<@{domain}:alice@{domain}>", "<@a.example,@b.example:alice@{domain}>"])
def test_a_source_route_is_understood_and_not_followed(mail: MailNode, alice: Account, recipient: str) -> None:
    """5.2.6, 5.3.3."""
    with Wire(mail.node.address, 25) as wire:
        wire.reply()
        wire.ask("EHLO client.example.net")
        wire.ask(f"MAIL FROM:<{OUTSIDE}>")
        assert wire.ask(f"RCPT TO:{recipient.format(domain=mail.domain)}").startswith("250")


def test_commands_count_in_any_case_and_nothing_depends_on_pipelining(mail: MailNode, alice: Account) -> None:
    """5.2.3, 5.2.10."""
    word = mark()
    with Wire(mail.node.address, 25) as wire:
        wire.reply()
        assert wire.ask("hElO client.example.net").startswith("250")
        assert wire.ask("noop").startswith("250")
        assert wire.ask("rset").startswith("250")
        assert wire.ask(f"Mail From:<{OUTSIDE}>").startswith("250")
        assert wire.ask(f"rcpt tO:<{alice.address}>").startswith("250")
        assert wire.ask("data").startswith("354")
        assert wire.ask(f"Subject: {word}\r\n\r\nx\r\n.").startswith("250")
        assert wire.ask("quit").startswith("221")
    mail.arrived(alice, word)


def test_a_line_of_1000_octets_and_64_octets_of_local_part_are_taken(mail: MailNode, alice: Account) -> None:
    """RFC 5321, 4.5.3.1."""
    word = mark()
    raw = f"Subject: {word}\r\n\r\n".encode() + b"x" * 998 + b"\r\n"
    assert deliver(mail, alice, raw, word, sender=f"{'s' * 64}@example.net").endswith(raw)


def test_mail_waits_for_days_before_it_comes_back(mail: MailNode) -> None:
    """5.3.1.1: give-up time 4 to 5 days, retries at least 30 minutes apart on average later on."""
    shown = mail.node.run("posthouse", "settings", "list", "--section", "smtp", "--json").stdout
    assert '"smtp.queue_lifetime"' in shown
    config = "/var/lib/posthouse/engines/postfix@mail/current"
    asked = mail.node.run("postconf", "-c", config, "-h", "maximal_queue_lifetime", "maximal_backoff_time")
    lifetime, backoff = (int(each.rstrip("s")) for each in asked.stdout.split())
    assert lifetime >= 4 * 86_400
    assert backoff >= 1800
