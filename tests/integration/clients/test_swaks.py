"""swaks, the administrator's probe: who may send what, on which port, with and without TLS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.clients.desk import Desk, Done
from tests.integration.mail_clients import Account, MailNode, mark

# swaks(1), "EXIT CODES"
_REFUSED_RECIPIENT = 24
_NO_AUTH = 28
_NO_TLS = 29


@dataclass(frozen=True)
class Letter:
    """Who writes to whom, and under which subject."""

    sender: str
    recipient: str
    subject: str = "test"


def swaks(
    desk: Desk, port: int, letter: Letter, *words: str, account: Account | None = None, trusted: Path | None = None
) -> Done:
    """Run swaks; TLS is verified where `words` ask for it, the password is in its configuration file."""
    lines = [f"--server {desk.server}", f"--port {port}", "--helo client.example.net", "--timeout 20"]
    lines += [f"--from {letter.sender}", f"--to {letter.recipient}", f"--header Subject: {letter.subject}"]
    lines += ["--tls-verify", f"--tls-ca-path {trusted or desk.ca_file}", *words]
    if account is not None:
        lines += [f"--auth-user {account.address}", f"--auth-password {account.password}", "--auth-hide-password"]
    settings = desk.keep("swaks", "\n".join(lines) + "\n")
    return desk.run("swaks", "--config", settings, allowed=range(256))


@pytest.mark.parametrize("how", ["587 PLAIN", "587 LOGIN", "465 PLAIN", "465 LOGIN"])
def test_a_signed_in_person_sends(mail: MailNode, desk: Desk, wang: Account, li: Account, how: str) -> None:
    letter = Letter(wang.address, li.address, word := mark())
    port, mechanism = how.split()
    tls = {"587": "--tls", "465": "--tlsc"}[port]
    done = swaks(desk, int(port), letter, tls, f"--auth {mechanism}", account=wang)
    assert done.status == 0, done.said
    assert "235 2.7.0 Authentication successful" in done.said
    assert "250 2.0.0 Ok: queued as" in done.said
    mail.arrived(li, word)


def test_a_wrong_password_is_refused(mail: MailNode, desk: Desk, wang: Account) -> None:
    wrong = Account(wang.address, "not-the-password")
    done = swaks(desk, 465, Letter(wang.address, wang.address), "--tlsc", "--auth PLAIN", account=wrong)
    assert done.status == _NO_AUTH
    assert "535 5.7.8" in done.said
    # each failure makes Dovecot slower to answer this address, until somebody signs in
    mail.imap(wang).logout()


def test_without_tls_no_password_can_be_given(desk: Desk, wang: Account) -> None:
    done = swaks(desk, 587, Letter(wang.address, wang.address), "--auth PLAIN", account=wang)
    assert done.status == _NO_AUTH
    assert "250-STARTTLS" in done.said
    assert "250-AUTH" not in done.said


@pytest.mark.parametrize("tls", ["--tls", "--no-tls"])
def test_nobody_signs_in_on_port_25(desk: Desk, wang: Account, tls: str) -> None:
    done = swaks(desk, 25, Letter(wang.address, wang.address), tls, "--auth PLAIN", account=wang)
    assert done.status == _NO_AUTH
    assert "250-PIPELINING" in done.said
    assert "250-AUTH" not in done.said


@pytest.mark.parametrize("tls", ["--tls", "--no-tls"])
def test_a_stranger_is_not_relayed(desk: Desk, wang: Account, tls: str) -> None:
    done = swaks(desk, 25, Letter(wang.address, "somebody@example.net"), tls)
    assert done.status == _REFUSED_RECIPIENT
    assert "554 5.7.1 <somebody@example.net>: Relay access denied" in done.said


def test_a_server_that_another_authority_vouches_for_is_not_trusted(desk: Desk, wang: Account) -> None:
    letter = Letter(wang.address, wang.address)
    done = swaks(desk, 587, letter, "--tls", "--auth PLAIN", account=wang, trusted=Path("/etc/ssl/certs"))
    assert done.status == _NO_TLS, done.said
    assert "235 " not in done.said
