"""SMTP in, submission and delivery, as clients and other servers see them."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.integration.mail_clients import Account, Exchanger, MailNode, Wire, letter, mail_node, mark, send
from tests.lab import Node

OUTSIDE = "somebody@example.net"


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "smtp.test") as made:
        yield made


@pytest.fixture(scope="module")
def alice(mail: MailNode) -> Account:
    return mail.mailbox("alice")


@pytest.fixture(scope="module")
def bob(mail: MailNode) -> Account:
    return mail.mailbox("bob")


# -- what is offered ---------------------------------------------------------------------------------------------


def test_port_25_offers_extensions_but_no_auth(mail: MailNode) -> None:
    with mail.smtp() as client:
        offered = client.esmtp_features
        expected = {"size", "starttls", "pipelining", "8bitmime", "dsn", "enhancedstatuscodes", "smtputf8", "chunking"}
        assert set(offered) == expected
        assert int(offered["size"]) > 0
        assert client.docmd("VRFY", "root")[0] == 502
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 503


def test_port_25_with_tls_offers_no_auth_either(mail: MailNode) -> None:
    with mail.smtp() as client:
        client.starttls(context=mail.context)
        client.ehlo()
        assert "auth" not in client.esmtp_features


def test_submission_asks_for_tls_before_anything_else(mail: MailNode, alice: Account) -> None:
    with mail.smtp(587) as client:
        assert "auth" not in client.esmtp_features
        code, text = client.docmd("AUTH", "PLAIN AGEAYg==")
        assert (code, text[:5]) == (530, b"5.7.0")
        assert client.mail(alice.address)[0] == 530


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("port", [587, 465])
def test_both_submission_ports_take_both_mechanisms(
    mail: MailNode, alice: Account, bob: Account, port: int, mechanism: str
) -> None:
    word = mark()
    if port == 465:
        client: smtplib.SMTP = smtplib.SMTP_SSL(mail.node.address, port, context=mail.context, timeout=20)
    else:
        client = mail.smtp(port)
        client.starttls(context=mail.context)
    with client:
        client.ehlo()
        assert {"PLAIN", "LOGIN"} <= set(client.esmtp_features["auth"].split())
        client.user, client.password = alice.address, alice.password
        method = client.auth_plain if mechanism == "PLAIN" else client.auth_login
        assert client.auth(mechanism, method, initial_response_ok=mechanism == "PLAIN")[0] == 235
        send(client, alice.address, bob.address, word)
    mail.arrived(bob, word)


def test_a_wrong_password_is_refused(mail: MailNode, alice: Account) -> None:
    with mail.smtp(587) as client:
        client.starttls(context=mail.context)
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login(alice.address, "wrong-password-123")
        assert refused.value.smtp_code == 535


def test_re_entry_is_out_of_reach_from_the_network(mail: MailNode) -> None:
    with pytest.raises(ConnectionRefusedError):
        Wire(mail.node.address, 10025)


# -- who may send to whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipient",
    [
        "victim@example.net",
        "victim%example.net@smtp.test",
        '"victim@example.net"@smtp.test',
        "@smtp.test:victim@example.net",
        "example.net!victim",
        "example.net!victim@smtp.test",
        "victim@example.net@smtp.test",
        "victim@[192.0.2.1]",
        "victim@localhost",
        "victim@mail1.posthouse.test",
    ],
)
@pytest.mark.parametrize("sender", ["somebody@example.net", "alice@smtp.test", ""])
def test_no_open_relay(mail: MailNode, alice: Account, sender: str, recipient: str) -> None:
    with mail.smtp() as client:
        client.docmd("MAIL", f"FROM:<{sender}>")
        code, _ = client.docmd("RCPT", f"TO:<{recipient}>")
        assert 500 <= code < 600


def test_submission_without_signing_in_relays_nothing(mail: MailNode, alice: Account) -> None:
    with mail.smtp(587) as client:
        client.starttls(context=mail.context)
        client.ehlo()
        assert client.mail(alice.address)[0] == 250
        assert client.rcpt(alice.address)[0] == 554
        assert client.rcpt("victim@example.net")[0] == 554


def test_a_sender_of_somebody_else_is_refused_on_submission(mail: MailNode, alice: Account, bob: Account) -> None:
    with mail.submission(alice) as client:
        client.mail(bob.address)
        code, text = client.rcpt(bob.address)
        assert (code, text[:5]) == (553, b"5.7.1")
        assert b"not owned by user" in text


@pytest.mark.parametrize(
    ("local", "status"), [("nobody-here", "5.1.1"), ("root", "5.1.1"), ("daemon", "5.1.1"), ("www-data", "5.1.1")]
)
def test_unknown_people_and_accounts_of_the_system_get_no_mail(mail: MailNode, local: str, status: str) -> None:
    with mail.smtp() as client:
        client.mail(OUTSIDE)
        code, text = client.rcpt(f"{local}@{mail.domain}")
        assert (code, text.split()[0].decode()) == (550, status)


@pytest.mark.parametrize("name", ["root", "daemon"])
def test_nothing_is_delivered_to_a_system_account(mail: MailNode, alice: Account, name: str) -> None:
    with mail.submission(alice) as client:
        client.mail(alice.address)
        assert client.rcpt(name)[0] >= 500


def test_a_client_that_talks_before_the_greeting_or_out_of_turn_is_refused(mail: MailNode, alice: Account) -> None:
    commands = f"MAIL FROM:<{OUTSIDE}>\r\nRCPT TO:<{alice.address}>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n"
    with Wire(mail.node.address, 25) as wire:
        assert wire.reply().startswith("220")
        wire.send("HELO client.example.net\r\n" + commands)
        assert list(iter(wire.line, "")) == ["554 5.5.0 Error: SMTP protocol synchronization"]


def test_a_malformed_greeting_is_refused_at_rcpt(mail: MailNode, alice: Account) -> None:
    with Wire(mail.node.address, 25) as wire:
        wire.reply()
        wire.ask("EHLO not_a_name!")
        wire.ask(f"MAIL FROM:<{OUTSIDE}>")
        assert wire.ask(f"RCPT TO:<{alice.address}>").startswith("501 5.5.2")


def test_mail_without_a_greeting_is_refused(mail: MailNode) -> None:
    with Wire(mail.node.address, 25) as wire:
        wire.reply()
        assert wire.ask(f"MAIL FROM:<{OUTSIDE}>").startswith("503 5.5.1")


# -- limits ------------------------------------------------------------------------------------------------------


def test_a_message_announced_as_too_large_is_refused_at_mail(mail: MailNode) -> None:
    with mail.smtp() as client:
        limit = int(client.esmtp_features["size"])
        code, text = client.docmd("MAIL", f"FROM:<{OUTSIDE}> SIZE={limit + 1}")
        assert (code, text[:5]) == (552, b"5.3.4")


def test_one_recipient_too_many_is_put_off(mail: MailNode, alice: Account) -> None:
    with Wire(mail.node.address, 25) as wire:
        wire.reply()
        wire.ask("EHLO client.example.net")
        wire.ask(f"MAIL FROM:<{OUTSIDE}>")
        codes = [wire.ask(f"RCPT TO:<alice+{number}@{mail.domain}>")[:9] for number in range(1001)]
    assert set(codes[:1000]) == {"250 2.1.5"}
    assert codes[1000] == "452 4.5.3"


# -- smuggling (CVE-2023-51764) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\r\n.\r\r\n", b"\n.\r", b"\r\n\0.\r\n"],
    ids=repr,
)
@pytest.mark.parametrize("port", [25, 587])
def test_nothing_but_crlf_dot_crlf_ends_a_message(
    mail: MailNode, alice: Account, bob: Account, port: int, ending: bytes
) -> None:
    word = mark()
    smuggled = (
        f"MAIL FROM:<admin@{mail.domain}>\r\nRCPT TO:<{alice.address}>\r\nDATA\r\n"
        f"From: admin@{mail.domain}\r\nSubject: smuggled {word}\r\n\r\nsmuggled\r\n"
    ).encode()
    sender = alice.address if port == 587 else OUTSIDE
    with mail.submission(alice) if port == 587 else mail.smtp() as client:
        client.mail(sender)
        client.rcpt(bob.address)
        assert client.docmd("DATA")[0] == 354
        head = f"From: {sender}\r\nTo: {bob.address}\r\nSubject: outer {word}\r\n\r\nouter".encode()
        assert client.sock is not None
        client.sock.sendall(head + ending + smuggled + b".\r\n")
        code, _ = client.getreply()
        # one message was sent, so there is one answer; refusing the whole is fine as well
        assert code == 250 or code >= 500
        assert client.noop()[0] == 250
    mail.settle()
    assert not any(f"subject: smuggled {word}".encode() in each.lower() for each in mail.messages(alice))
    outer = [each for each in mail.messages(bob) if f"outer {word}".encode() in each]
    assert len(outer) == (1 if code == 250 else 0)


# -- addresses ---------------------------------------------------------------------------------------------------


def test_an_extension_after_plus_reaches_the_mailbox(mail: MailNode, alice: Account) -> None:
    word = mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, f"alice+newsletter@{mail.domain}", word)
    assert b"Delivered-To: alice+newsletter@" in mail.arrived(alice, word)


def test_upper_case_reaches_the_mailbox(mail: MailNode, alice: Account) -> None:
    word = mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, f"ALICE@{mail.domain.upper()}", word)
    mail.arrived(alice, word)


def test_an_alias_reaches_everybody_it_names(mail: MailNode, alice: Account, bob: Account) -> None:
    mail.alias(f"sales@{mail.domain}", alice.address, bob.address)
    word = mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, f"sales@{mail.domain}", word)
    mail.arrived(alice, word)
    mail.arrived(bob, word)


def test_whom_an_alias_names_may_send_as_the_alias(mail: MailNode, alice: Account, bob: Account) -> None:
    mail.alias(f"office@{mail.domain}", alice.address)
    with mail.submission(alice) as client:
        client.mail(f"office@{mail.domain}")
        assert client.rcpt(bob.address)[0] == 250
    with mail.submission(bob) as client:
        client.mail(f"office@{mail.domain}")
        assert client.rcpt(bob.address)[0] == 553


def test_a_catch_all_takes_only_what_nobody_else_does(mail: MailNode) -> None:
    mail.node.run("posthouse", "domain", "create", "catch.test")
    eve, rest = mail.mailbox("eve", domain="catch.test"), mail.mailbox("rest", domain="catch.test")
    mail.alias("@catch.test", rest.address)
    word, other = mark(), mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, eve.address, word)
        send(client, OUTSIDE, "anything.else@catch.test", other)
        client.mail(OUTSIDE)
        # no catch-all takes the mail of an account of the system
        assert client.rcpt("root@catch.test")[0] == 550
    mail.arrived(eve, word)
    mail.arrived(rest, other)
    # elsewhere such a name is anybody's
    with mail.submission(eve) as client:
        client.mail(eve.address)
        assert client.rcpt("root@example.net")[0] == 250
        assert client.rcpt("root@catch.test")[0] == 550
    mail.settle("catch.test")
    assert not any(word.encode() in each for each in mail.messages(rest))


def test_a_domain_alias_has_the_addresses_of_its_domain_and_no_others(mail: MailNode, alice: Account) -> None:
    mail.domain_alias("smtp-alias.test", mail.domain)
    word = mark()
    with mail.smtp() as client:
        send(client, OUTSIDE, "alice@smtp-alias.test", word)
        client.mail(OUTSIDE)
        assert client.rcpt("nobody-here@smtp-alias.test")[0] == 550
    mail.arrived(alice, word)


# -- languages ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wang(mail: MailNode) -> Account:
    mail.node.run("posthouse", "domain", "create", "例子.中国")
    return mail.mailbox("wang", domain="xn--fsqu00a.xn--fiqs8s")


@pytest.mark.parametrize("sender", ["plain@example.net", "wang@例子.中国", "用户@例子.test"])
@pytest.mark.parametrize("port", [25, 587])
def test_a_smtputf8_message_arrives_as_it_was_sent(
    mail: MailNode, alice: Account, wang: Account, port: int, sender: str
) -> None:
    word = mark()
    if port == 587:
        sender = wang.address if sender.startswith("plain") else "wang@例子.中国"
    # complete, so that submission adds nothing
    head = f"Date: Tue, 24 Nov 2026 06:06:29 +0000\r\nMessage-ID: <{word}@example.net>\r\nFrom: 王 <{sender}>\r\n"
    raw = f"{head}To: <wang@例子.中国>\r\nSubject: 你好 {word}\r\n\r\n正文\r\n".encode()
    with mail.submission(wang) if port == 587 else mail.smtp() as client:
        refused = client.sendmail(sender, [alice.address, "wang@例子.中国"], raw, ["SMTPUTF8", "BODY=8BITMIME"])
    assert refused == {}
    for account in (alice, wang):
        arrived = mail.arrived(account, word)
        assert arrived.endswith(raw)
        # our own domain is written as A-labels; Dovecot 2.3 has no way to keep a foreign address beyond ASCII
        path = {"plain@example.net": sender, "用户@例子.test": ""}.get(sender, wang.address)
        assert arrived.startswith(f"Return-Path: <{path}>".encode())


def test_an_unknown_person_of_a_chinese_domain_is_refused(mail: MailNode, wang: Account) -> None:
    with mail.smtp() as client:
        client.command_encoding = "utf-8"
        client.docmd(f"MAIL FROM:<{OUTSIDE}> SMTPUTF8")
        code, text = client.docmd("RCPT TO:<nobody@例子.中国>")
        assert (code, text[:5]) == (550, b"5.1.1")


def test_an_address_beyond_ascii_needs_smtputf8_to_be_declared(mail: MailNode, wang: Account) -> None:
    with mail.smtp() as client:
        client.command_encoding = "utf-8"
        client.docmd(f"MAIL FROM:<{OUTSIDE}>")
        assert client.docmd("RCPT TO:<wang@例子.中国>")[0] >= 500


@pytest.mark.parametrize(
    ("charset", "text"),
    [("gb2312", "你好，世界"), ("big5", "你好，世界"), ("hz", "你好，世界"), ("utf-8", "你好，世界 😀")],
)
def test_eight_bit_bodies_and_long_lines_arrive_byte_for_byte(
    mail: MailNode, alice: Account, charset: str, text: str
) -> None:
    word = mark()
    head = f"From: {OUTSIDE}\r\nTo: {alice.address}\r\nSubject: {word}\r\nMIME-Version: 1.0\r\n"
    head += f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    raw = (
        head.encode() + text.encode(charset) + b"\r\n..dot\r\n" + b"x" * 5000 + b"\r\n" + text.encode(charset) + b"\r\n"
    )
    with mail.smtp() as client:
        client.sendmail(OUTSIDE, [alice.address], raw, ["BODY=8BITMIME"])
    assert mail.arrived(alice, word).endswith(raw)


# -- DSN, CHUNKING ------------------------------------------------------------------------------------------------


def test_a_requested_report_of_success_comes_back(mail: MailNode, alice: Account, bob: Account) -> None:
    word = mark()
    with mail.submission(alice) as client:
        refused = client.sendmail(
            alice.address,
            [bob.address],
            letter(alice.address, bob.address, word).as_bytes(),
            mail_options=["RET=HDRS", f"ENVID={word}"],
            rcpt_options=["NOTIFY=SUCCESS"],
        )
    assert refused == {}
    mail.arrived(bob, word)
    report = message_from_bytes(mail.arrived(alice, f"Original-Envelope-Id: {word}"))
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    status = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
    assert b"Action: " in status.as_bytes()
    assert b"Status: 2." in status.as_bytes()


def test_chunking_delivers_binary_safe_chunks(mail: MailNode, alice: Account) -> None:
    word = mark()
    first = f"From: {OUTSIDE}\r\nTo: {alice.address}\r\nSubject: {word}\r\n\r\n".encode()
    last = b"one line\r\n.\r\nanother line\r\n"
    with Wire(mail.node.address, 25) as wire:
        wire.reply()
        wire.ask("EHLO client.example.net")
        wire.ask(f"MAIL FROM:<{OUTSIDE}>")
        wire.ask(f"RCPT TO:<{alice.address}>")
        wire.send(f"BDAT {len(first)}\r\n".encode() + first)
        assert wire.reply().startswith("250")
        wire.send(f"BDAT {len(last)} LAST\r\n".encode() + last)
        assert wire.reply().startswith("250 2.0.0")
    assert mail.arrived(alice, word).endswith(last)


# -- to the outside ----------------------------------------------------------------------------------------------


def test_mail_for_the_outside_leaves(mail: MailNode, alice: Account) -> None:
    word = mark()
    with Exchanger() as outside:
        with mail.submission(alice) as client:
            send(client, alice.address, outside.recipient, word)
        outside.wait(word.encode())
        assert outside.wait(b"MAIL FROM:").startswith(f"MAIL FROM:<{alice.address}>".encode())
        assert outside.wait(b"EHLO ").strip() == f"EHLO {mail.node.hostname}".encode()


def test_smtputf8_is_declared_to_a_server_that_offers_it(mail: MailNode, wang: Account) -> None:
    word = mark()
    raw = f"From: <wang@例子.中国>\r\nTo: somebody\r\nSubject: 你好 {word}\r\n\r\nx\r\n".encode()
    with Exchanger(extensions=("8BITMIME", "SMTPUTF8")) as outside:
        with mail.submission(wang) as client:
            client.sendmail("wang@例子.中国", [outside.recipient], raw, ["SMTPUTF8", "BODY=8BITMIME"])
        outside.wait(word.encode())
        assert b" SMTPUTF8" in outside.wait(b"MAIL FROM:")


def test_domains_count_within_seconds_and_are_foreign_again_when_they_are_gone(mail: MailNode) -> None:
    copy = "/run/posthouse/mail/postfix/domains"

    def answer() -> tuple[int, bytes]:
        with mail.smtp() as client:
            client.mail(OUTSIDE)
            code, text = client.rcpt("nobody@passing.test")
            return code, text[:5]

    def copied() -> bool:
        asked = mail.node.run("postmap", "-q", "passing.test", f"cdb:{copy}", check=False)
        return asked.stdout.strip() == "passing.test"

    assert answer() == (554, b"5.7.1")
    mail.node.run("posthouse", "domain", "create", "passing.test")
    mail.node.wait_until("domain known", lambda: answer() == (550, b"5.1.1"), timeout=10.0, every=0.2)
    mail.node.wait_until("domain copied", copied, timeout=10.0)
    mail.node.run("rm", f"{copy}.cdb")
    mail.node.wait_until("copy made anew", copied, timeout=10.0)
    assert answer() == (550, b"5.1.1")
    mail.node.run("posthouse", "domain", "delete", "passing.test")
    mail.node.wait_until("domain foreign", lambda: answer() == (554, b"5.7.1"), timeout=30.0, every=0.5)
