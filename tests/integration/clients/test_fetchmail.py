"""fetchmail collects a mailbox for a home server: by POP3S with UIDL and by IMAPS, kept or taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.clients.desk import Desk
from tests.integration.letters import written
from tests.integration.mail_clients import Account, MailNode, mark

# fetchmail(1), "EXIT CODES"
_FETCHED, _NO_MAIL = 0, 1


def fetchmail(desk: Desk, account: Account, protocol: str, *options: str, expected: int = _FETCHED) -> None:
    """Run fetchmail once; messages are appended to ~/collected."""
    uidl = "uidl" if protocol == "pop3" else ""
    desk.keep(
        ".fetchmailrc",
        f'poll {desk.server} protocol {protocol} {uidl} timeout 20\n  user "{account.address}" '
        f'password "{account.password}"\n  ssl sslcertck sslcertfile "{desk.ca_file}"\n'
        f'  {" ".join(options)} mda "cat >> {desk.home}/collected"\n',
    )
    desk.run("fetchmail", "--nosyslog", "--nodetach", allowed=(expected,))


def collected(desk: Desk) -> Path:
    return desk.home / "collected"


def put(mail: MailNode, sender: Account, recipient: Account) -> bytes:
    """A message in the recipient's mailbox, as it was sent."""
    sent = written(sender.address, recipient.address, word := mark())
    with mail.submission(sender) as client:
        client.sendmail(sender.address, [recipient.address], sent, ["BODY=8BITMIME"])
    mail.arrived(recipient, word)
    return sent


def test_pop3s_with_uidl_leaves_mail_on_the_server_and_fetches_each_message_once(
    mail: MailNode, desk: Desk, wang: Account, li: Account
) -> None:
    first, second = put(mail, wang, li), put(mail, wang, li)
    fetchmail(desk, li, "pop3", "keep")
    got = collected(desk).read_bytes()
    for sent in (first, second):
        body = sent.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
        assert got.count(body) == 1
    fetchmail(desk, li, "pop3", "keep", expected=_NO_MAIL)
    assert collected(desk).read_bytes() == got
    third = put(mail, wang, li)
    fetchmail(desk, li, "pop3", "keep")
    added = collected(desk).read_bytes().removeprefix(got)
    assert third.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") in added
    assert added.count(b"Message-ID:") == 1
    assert len(mail.messages(li)) == 3


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_taken_mail_is_gone_from_the_server(
    mail: MailNode, desk: Desk, wang: Account, li: Account, protocol: str
) -> None:
    sent = put(mail, wang, li)
    fetchmail(desk, li, protocol, "no keep")
    assert sent.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") in collected(desk).read_bytes()
    assert mail.messages(li) == []


def test_imaps_keeps_mail_and_fetches_only_what_is_unread(
    mail: MailNode, desk: Desk, wang: Account, li: Account
) -> None:
    put(mail, wang, li)
    fetchmail(desk, li, "imap", "keep")
    got = collected(desk).read_bytes()
    assert got.count(b"Message-ID:") == 1
    fetchmail(desk, li, "imap", "keep", expected=_NO_MAIL)
    assert collected(desk).read_bytes() == got
    assert len(mail.messages(li)) == 1
