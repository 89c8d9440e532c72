"""SCRAM-SHA-256 (RFC 5802, RFC 7677): the server learns no password, where the stored hash allows it.

By msmtp (GNU SASL). mbsync 1.4 cannot be shown: it waits for ever after Dovecot's last word.
"""

from __future__ import annotations

import base64
import imaplib
from collections.abc import Iterator

import pytest

from tests.integration.clients.desk import Desk
from tests.integration.letters import without_trace, written
from tests.integration.mail_clients import PASSWORD, Account, MailNode, mark
from tests.lab.appliance import wait_healthy

_SCRAM = "SCRAM-SHA-256"
# sysexits.h
_NO_PERMISSION = 77


@pytest.fixture(scope="module")
def offered(mail: MailNode) -> Iterator[None]:
    """New passwords are hashed for SCRAM, and it is offered."""
    wanted = {"password.scheme": _SCRAM, "auth.mechanisms": f"plain,login,{_SCRAM.lower()}"}
    for name, value in wanted.items():
        mail.node.run("posthouse", "settings", "set", name, value)
    try:
        mail.node.wait_until("Dovecot offers it", lambda: f"AUTH={_SCRAM}" in _imap_capabilities(mail))
        # smtpd's processes know the mechanisms that they were told when they began
        mail.node.run("posthouse", "service", "restart", "postfix@mail", timeout=90)
        mail.node.wait_until("SCRAM offered", lambda: _SCRAM in _mechanisms(mail))
        yield
    finally:
        for name in wanted:
            mail.node.run("posthouse", "settings", "reset", name)
        wait_healthy(mail.node)


@pytest.fixture(scope="module")
def chen(mail: MailNode, offered: None) -> Account:
    return mail.mailbox()


def _imap_capabilities(mail: MailNode) -> tuple[str, ...]:
    try:
        with mail.imap() as imap:
            return tuple(imap.capabilities)
    except (OSError, imaplib.IMAP4.error):  # it reloads
        return ()


def _mechanisms(mail: MailNode) -> str:
    """What both protocols offer, once both offer the same."""
    try:
        with mail.smtp(587) as smtp, mail.imap() as imap:
            smtp.starttls(context=mail.context)
            smtp.ehlo()
            return str(smtp.esmtp_features["auth"]) if f"AUTH={_SCRAM}" in imap.capabilities else ""
    except (OSError, imaplib.IMAP4.error):  # it reloads
        return ""


def msmtprc(desk: Desk, account: Account, method: str, password: str = PASSWORD) -> None:
    """What the person wrote into ~/.msmtprc."""
    desk.keep(
        ".msmtprc",
        f"account default\ntimeout 20\ntls on\ntls_starttls on\ntls_trust_file {desk.ca_file}\nhost {desk.server}\n"
        f"port 587\nfrom {account.address}\nauth {method}\nuser {account.address}\npassword {password}\n",
    )


def test_a_letter_is_handed_in_without_showing_the_password(mail: MailNode, desk: Desk, chen: Account) -> None:
    sent = written(chen.address, chen.address, word := mark())
    msmtprc(desk, chen, "scram-sha-256")
    done = desk.run("msmtp", "--debug", chen.address, input=sent.replace(b"\r\n", b"\n"))
    assert f"AUTH {_SCRAM}" in done.said
    for shown in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), f"\0{chen.address}\0{PASSWORD}"):
        assert shown not in done.said
    assert without_trace(mail.arrived(chen, word)) == sent


def test_a_wrong_password_is_refused(desk: Desk, chen: Account) -> None:
    msmtprc(desk, chen, "scram-sha-256", "wrong-horse-battery-9")
    done = desk.run("msmtp", chen.address, input=b"x", allowed=(_NO_PERMISSION,))
    assert "authentication failed" in done.said


def test_the_same_hash_checks_a_password_that_is_shown(mail: MailNode, chen: Account) -> None:
    with mail.smtp(587) as client:
        client.starttls(context=mail.context)
        client.ehlo()
        client.user, client.password = chen.address, chen.password
        assert client.auth("PLAIN", client.auth_plain)[0] == 235


def test_where_the_hash_is_of_another_kind_scram_is_refused_and_plain_goes(
    mail: MailNode, desk: Desk, wang: Account, offered: None
) -> None:
    """Why SCRAM is off unless everybody's hash allows it."""
    msmtprc(desk, wang, "scram-sha-256")
    done = desk.run("msmtp", wang.address, input=b"x", allowed=(_NO_PERMISSION,))
    assert "authentication failed" in done.said
    with mail.smtp(587) as client:
        client.starttls(context=mail.context)
        assert client.login(wang.address, wang.password)[0] == 235
