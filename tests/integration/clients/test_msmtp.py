"""msmtp, the sendmail of workstations, with the installation's authority as its trust file."""

from __future__ import annotations

import pytest

from tests.integration.clients.desk import IMPOSTOR, Desk
from tests.integration.letters import without_trace, written
from tests.integration.mail_clients import Account, MailNode, mark

# sysexits.h; msmtp(1), "EXIT STATUS"
_UNAVAILABLE = 69


def settings(desk: Desk, account: Account, port: int, *, host: str | None = None, password: str | None = None) -> None:
    """What the person wrote into ~/.msmtprc."""
    desk.keep(
        ".msmtprc",
        f"defaults\ntimeout 20\ntls on\ntls_starttls {'on' if port == 587 else 'off'}\ntls_trust_file {desk.ca_file}\n"
        f"auth on\naccount default\nhost {host or desk.server}\nport {port}\nfrom {account.address}\n"
        f"user {account.address}\npassword {password or account.password}\n",
    )


@pytest.mark.parametrize("port", [587, 465])
def test_a_message_arrives_unchanged(mail: MailNode, desk: Desk, wang: Account, li: Account, port: int) -> None:
    sent = written(wang.address, li.address, word := mark())
    settings(desk, wang, port)
    desk.run("msmtp", li.address, input=sent.replace(b"\r\n", b"\n"))
    assert without_trace(mail.arrived(li, word)) == sent


def test_recipients_are_read_from_the_message_and_bcc_is_not_shown(
    mail: MailNode, desk: Desk, wang: Account, li: Account
) -> None:
    zhao = mail.mailbox()
    sent = written(wang.address, li.address, word := mark())
    settings(desk, wang, 587)
    desk.run("msmtp", "--read-recipients", input=f"Bcc: {zhao.address}\n".encode() + sent.replace(b"\r\n", b"\n"))
    assert without_trace(mail.arrived(li, word)) == sent
    assert without_trace(mail.arrived(zhao, word)) == sent


def test_a_server_of_another_name_gets_no_password(desk: Desk, mail: MailNode, wang: Account) -> None:
    settings(desk, wang, 587, host=IMPOSTOR)
    done = desk.run("msmtp", "--debug", wang.address, input=b"x", allowed=(_UNAVAILABLE,))
    assert "The name in the certificate does not match" in done.said
    assert "AUTH" not in done.said


def test_an_address_of_somebody_else_is_refused_as_sender(
    desk: Desk, mail: MailNode, wang: Account, li: Account
) -> None:
    settings(desk, wang, 587)
    letter = written(li.address, li.address, mark())
    done = desk.run("msmtp", "--from", li.address, li.address, input=letter, allowed=range(1, 256))
    assert f"553 5.7.1 <{li.address}>: Sender address rejected: not owned by user {wang.address}" in done.said
