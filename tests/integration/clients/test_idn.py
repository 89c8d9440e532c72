"""A Chinese domain: made by its Chinese name, reached by both of its names, with real programs."""

from __future__ import annotations

import json

import pytest

from tests.integration.clients.desk import Desk
from tests.integration.letters import without_trace, written
from tests.integration.mail_clients import Account, MailNode, mark

U_LABELS = "例子.测试"
A_LABELS = "xn--fsqu00a.xn--0zwm56d"


@pytest.fixture(scope="module")
def zhang(mail: MailNode) -> Account:
    mail.node.run("posthouse", "domain", "create", U_LABELS)
    mail.mailbox("zhang", domain=U_LABELS)
    return Account(f"zhang@{A_LABELS}")


def curl(desk: Desk, account: Account, url: str, *words: str) -> bytes:
    options = ["-sS", "--ssl-reqd", "--cacert", str(desk.ca_file), "--max-time", "30"]
    return desk.run("curl", *options, "--netrc-file", str(desk.netrc(account)), *words, url).output


def test_it_is_shown_by_its_chinese_name(mail: MailNode, zhang: Account) -> None:
    assert U_LABELS in mail.node.run("posthouse", "domain", "list").stdout
    shown = json.loads(mail.node.run("posthouse", "mailbox", "show", f"zhang@{U_LABELS}", "--json").stdout)
    assert shown["address"] == zhang.address


@pytest.mark.parametrize("domain", [U_LABELS, A_LABELS])
def test_its_mailbox_gets_what_a_program_sends_to_either_name(
    mail: MailNode, desk: Desk, zhang: Account, wang: Account, domain: str
) -> None:
    sent = written(wang.address, zhang.address, word := mark())
    envelope = ["--mail-from", wang.address, "--mail-rcpt", f"zhang@{domain}"]
    curl(desk, wang, f"smtps://{desk.server}", *envelope, "--upload-file", str(desk.keep("message", sent)))
    mail.arrived(zhang, word)
    found = curl(desk, zhang, f"imaps://{desk.server}/INBOX?TEXT%20{word}").split()[2].decode()
    assert without_trace(curl(desk, zhang, f"imaps://{desk.server}/INBOX;MAILINDEX={found}")) == sent


def test_its_owner_signs_in_by_the_chinese_name_and_sends(
    mail: MailNode, desk: Desk, zhang: Account, wang: Account
) -> None:
    address = f"zhang@{U_LABELS}"
    sent = written(address, wang.address, word := mark())
    desk.keep(
        ".msmtprc",
        f"account default\nhost {desk.server}\nport 465\ntls on\ntls_starttls off\ntls_trust_file {desk.ca_file}\n"
        # msmtp has no SMTPUTF8: its envelope is in A-labels
        f"auth plain\nuser {address}\npassword {zhang.password}\nfrom {zhang.address}\n",
    )
    desk.run("msmtp", wang.address, input=sent.replace(b"\r\n", b"\n"))
    arrived = mail.arrived(wang, word)
    assert without_trace(arrived) == sent
    assert arrived.startswith(f"Return-Path: <{zhang.address}>\r\n".encode())


def test_mail_from_an_address_in_chinese_comes_in(mail: MailNode, desk: Desk, zhang: Account) -> None:
    sender = "用户@例子.net"
    sent = written(sender, f"zhang@{U_LABELS}", word := mark())
    message = str(desk.keep("message", sent))
    envelope = ["--mail-from", sender, "--mail-rcpt", f"zhang@{U_LABELS}"]
    desk.run("curl", "-sS", "--max-time", "30", *envelope, "--upload-file", message, f"smtp://{desk.server}:25")
    assert without_trace(mail.arrived(zhang, word)) == sent
