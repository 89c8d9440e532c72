"""mutt in a terminal (tmux): a person reads a Chinese message over IMAPS and answers it over SMTPS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.policy import default

import pytest

from tests.integration.clients.desk import Desk
from tests.integration.letters import written
from tests.integration.mail_clients import Account, MailNode, mark
from tests.lab.polling import wait_until


class Terminal:
    """A terminal of 100 by 30 characters with one program in it."""

    def __init__(self, desk: Desk, program: str, *words: str) -> None:
        self._desk = desk
        size = ["new-session", "-d", "-x", "100", "-y", "30"]
        self._tmux("-f", "/dev/null", *size, *desk.command_line(program, *words))

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", str(self._desk.home / "tmux"), *words]
        done = subprocess.run(
            command, env=self._desk.environment(), capture_output=True, encoding="utf-8", timeout=20, check=True
        )
        return done.stdout

    def type(self, text: str) -> None:
        """Type characters as they stand."""
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names (Enter, C-u)."""
        self._tmux("send-keys", *keys)

    def shows(self, *texts: str) -> str:
        """Wait until the screen shows all these texts; returns the screen."""
        screen = ""

        def all_there() -> bool:
            nonlocal screen
            screen = self._tmux("capture-pane", "-p")
            return all(each in screen for each in texts)

        wait_until(f"screen with {texts}", all_there, timeout=20.0, every=0.05, explain=lambda: screen)
        return screen

    def end(self) -> None:
        """End the program and tmux's server, if they have not ended by themselves."""
        with suppress(subprocess.CalledProcessError):
            self._tmux("kill-server")


@pytest.fixture
def muttrc(desk: Desk, wang: Account) -> str:
    """mutt's settings of that person, and an editor that writes an answer above what it is given."""
    # mutt tells by the second of its change whether a file was written; later than now means edited again
    script = '{ echo "收到，谢谢。"; cat "$1"; } >"$1.new" && touch -d "5 seconds ago" "$1.new" && mv "$1.new" "$1"'
    editor = desk.keep("editor", f"#!/bin/sh\n{script}\n")
    editor.chmod(0o700)
    login = wang.address.replace("@", "%40")
    lines = {
        "folder": f"imaps://{login}@{desk.server}/",
        "spoolfile": "+INBOX",
        "record": "+Sent",
        "postponed": "+Drafts",
        "imap_user": wang.address,
        "imap_pass": wang.password,
        "smtp_url": f"smtps://{login}@{desk.server}:465/",
        "smtp_pass": wang.password,
        "ssl_ca_certificates_file": str(desk.ca_file),
        "from": wang.address,
        "realname": "王",
        "editor": str(editor),
        "hostname": "client.example.net",
        "charset": "utf-8",
        "header_cache": str(desk.home / "headers"),
    }
    switches = "set ssl_force_tls ssl_verify_dates ssl_verify_host use_envelope_from\n"
    settings = "".join(f'set {name}="{value}"\n' for name, value in lines.items())
    return str(desk.keep(".muttrc", settings + switches))


@pytest.fixture
def terminal(mail: MailNode, desk: Desk, wang: Account, li: Account, muttrc: str) -> Iterator[Terminal]:
    """mutt, with a message of Li in Wang's mailbox."""
    word = mark()
    with mail.submission(li) as client:
        sent = written(li.address, wang.address, word, subject="明天开会")
        client.sendmail(li.address, [wang.address], sent, ["BODY=8BITMIME"])
    mail.arrived(wang, word)
    made = Terminal(desk, "mutt", "-n", "-F", muttrc)
    yield made
    made.end()


def test_a_chinese_message_is_listed_read_and_answered(
    mail: MailNode, terminal: Terminal, wang: Account, li: Account
) -> None:
    terminal.shows("明天开会", "王")
    terminal.press("Enter")
    terminal.shows("Subject: 明天开会", "驿站", "长长长")
    terminal.type("r")
    terminal.shows("To:", li.address)
    terminal.press("Enter")
    terminal.shows("Subject: Re: 明天开会")
    terminal.press("Enter")
    terminal.shows("Include message in reply?")
    terminal.type("y")
    terminal.shows("y:Send", "Re: 明天开会")
    terminal.type("y")
    terminal.shows("Mail sent.")
    for whose, folder in ((li, "INBOX"), (wang, "Sent")):
        reply = message_from_bytes(
            mail.arrived(whose, f"From: =?utf-8?B?546L?= <{wang.address}>", folder), policy=default
        )
        assert reply["Subject"] == "Re: 明天开会"
        text = reply.get_content()
        assert text.splitlines()[0] == "收到，谢谢。"
        assert "> 驿站 " in text
