"""Sieve scripts put on the server by ManageSieve (RFC 5804): filing, redirecting, vacation."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.mail_clients import Account, Exchanger, MailNode, Wire, letter, mail_node, mark, send
from tests.lab import Node


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "sieve.test") as made:
        yield made


class ManageSieve(Wire):
    """A client of ManageSieve."""

    def answer(self) -> str:
        """The final line of an answer: OK, NO or BYE, with its text."""
        while not re.match("(OK|NO|BYE)", line := self.line()):
            assert line, "connection closed"
            self.seen.append(line)
        literal = re.search(r"\{(\d+)\}$", line)
        return line if literal is None else line + self.file.read(int(literal[1])).decode() + self.line()

    seen: list[str]

    def do(self, command: str) -> str:
        self.seen = []
        self.send(command + "\r\n")
        return self.answer()


@contextmanager
def managesieve(mail: MailNode, account: Account) -> Iterator[ManageSieve]:
    """A session, signed in over STARTTLS."""
    with ManageSieve(mail.node.address, 4190) as client:
        client.seen = []
        assert client.answer().startswith("OK")
        capabilities = "\n".join(client.seen)
        assert '"STARTTLS"' in capabilities
        assert "PLAIN" not in capabilities
        assert client.do("STARTTLS").startswith("OK")
        client.file.close()
        client.socket = mail.context.wrap_socket(client.socket)
        client.file = client.socket.makefile("rb")
        assert client.answer().startswith("OK")
        credentials = base64.b64encode(f"\0{account.address}\0{account.password}".encode()).decode()
        assert client.do(f'AUTHENTICATE "PLAIN" "{credentials}"').startswith("OK")
        yield client


def activate(mail: MailNode, account: Account, script: str) -> None:
    """Put a script and make it the active one."""
    with managesieve(mail, account) as client:
        octets = len(script.encode())
        assert client.do(f'PUTSCRIPT "main" {{{octets}+}}\r\n{script}').startswith("OK")
        assert client.do('SETACTIVE "main"').startswith("OK")


def test_a_broken_script_is_refused_with_its_line(mail: MailNode) -> None:
    with managesieve(mail, mail.mailbox()) as client:
        script = 'require "fileinto";\nfileinto 17;\n'
        refused = client.do(f'PUTSCRIPT "main" {{{len(script)}+}}\r\n{script}')
    assert refused.startswith("NO")
    assert "line 2" in refused


def test_mail_is_filed_into_a_chinese_folder(mail: MailNode) -> None:
    account = mail.mailbox()
    activate(
        mail,
        account,
        'require ["fileinto", "mailbox"];\nif header :contains "subject" "工作" { fileinto :create "工作/2024.01"; }\n',
    )
    word = mark()
    with mail.smtp() as client:
        client.send_message(letter("x@example.net", account.address, word, subject="工作"))
    mail.arrived(account, word, "&XeVPXA-/2024.01")


def test_vacation_answers_once_and_through_our_own_queue(mail: MailNode) -> None:
    away, sender = mail.mailbox(), mail.mailbox()
    word = mark()
    activate(mail, away, f'require "vacation";\nvacation :days 1 :subject "away {word}" "I am away, 我不在。";\n')
    for _ in range(2):
        with mail.submission(sender) as client:
            send(client, sender.address, away.address, word)
    answer = mail.arrived(sender, f"away {word}")
    assert b"Auto-Submitted: auto-replied" in answer
    assert b"Return-Path: <>" in answer
    mail.settle()
    assert sum(f"away {word}".encode() in each for each in mail.messages(sender)) == 1


def test_nobody_is_answered_automatically_for_a_mailing_list_or_a_report(mail: MailNode) -> None:
    away, sender = mail.mailbox(), mail.mailbox()
    word = mark()
    activate(mail, away, f'require "vacation";\nvacation :subject "away {word}" "away";\n')
    with mail.submission(sender) as client:
        raw = f"From: {sender.address}\r\nTo: {away.address}\r\nPrecedence: bulk\r\nSubject: {word}\r\n\r\nx\r\n"
        client.sendmail(sender.address, [away.address], raw.encode())
    mail.arrived(away, word)
    mail.settle()
    assert not any(f"away {word}".encode() in each for each in mail.messages(sender))


def test_redirect_goes_out_through_re_entry(mail: MailNode) -> None:
    account = mail.mailbox()
    word = mark()
    with Exchanger() as outside:
        activate(mail, account, f'require "copy";\nredirect :copy "{outside.recipient}";\n')
        with mail.smtp() as client:
            send(client, "somebody@example.net", account.address, word)
        outside.wait(word.encode())
    mail.arrived(account, word)


def test_redirecting_in_a_circle_ends(mail: MailNode) -> None:
    one, two = mail.mailbox(), mail.mailbox()
    word = mark()
    activate(mail, one, f'redirect "{two.address}";\n')
    activate(mail, two, f'redirect "{one.address}";\n')
    with mail.smtp() as client:
        send(client, "somebody@example.net", one.address, word)
    mail.settle()
    copies = [each for account in (one, two) for each in mail.messages(account) if word.encode() in each]
    assert len(copies) == 1


def test_scripts_run_no_programs(mail: MailNode) -> None:
    with managesieve(mail, mail.mailbox()) as client:
        for extension in ("vnd.dovecot.pipe", "vnd.dovecot.execute", "vnd.dovecot.filter"):
            script = f'require "{extension}";\n'
            assert client.do(f'PUTSCRIPT "main" {{{len(script)}+}}\r\n{script}').startswith("NO")
