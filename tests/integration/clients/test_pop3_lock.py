"""POP3 takes no lock: a session that hangs, is cut off or killed never keeps anybody out of the mailbox."""

from __future__ import annotations

import poplib
import socket
import struct

import pytest

from tests.integration.letters import without_trace, written
from tests.integration.mail_clients import TIMEOUT, Account, MailNode, Wire, mark

_DOVECOT = "/var/lib/posthouse/engines/dovecot@mail/current/dovecot.conf"


@pytest.fixture
def messages(mail: MailNode, wang: Account) -> list[bytes]:
    """What lies in Wang's mailbox: a small message and one of some megabytes."""
    sent = [written(wang.address, wang.address, mark()), written(wang.address, wang.address, mark())]
    sent[1] += (b"x" * 70 + b"\r\n") * 60_000
    with mail.imap(wang) as client:
        for message in sent:
            assert client.append("INBOX", None, None, message)[0] == "OK"
    return sent


def hanging(mail: MailNode, account: Account) -> Wire:
    """A session that deleted the first message, asked for the second, read a little of it and then no more."""
    wire = Wire(mail.node.address, 995, mail.context)
    wire.line()
    for command in (f"USER {account.address}", f"PASS {account.password}", "DELE 1", "RETR 2"):
        wire.send(command + "\r\n")
        assert wire.line().startswith("+OK")
    assert wire.line().startswith("Date:")
    return wire


def read_all(mail: MailNode, account: Account) -> list[bytes]:
    """Every message, by a session of its own."""
    client = mail.pop3(account)
    try:
        count = client.stat()[0]
        return [b"".join(line + b"\r\n" for line in client.retr(number + 1)[1]) for number in range(count)]
    finally:
        client.quit()


def pop3_processes(mail: MailNode, account: Account) -> list[str]:
    """The processes that serve this person's POP3 sessions."""
    said = mail.node.run("doveadm", "-c", _DOVECOT, "-f", "tab", "who", "-1", account.address).stdout
    rows = [line.split("\t") for line in said.splitlines()[1:]]
    return [row[2] for row in rows if row[1] == "pop3"]


def test_two_sessions_read_one_mailbox_at_the_same_time(mail: MailNode, wang: Account, messages: list[bytes]) -> None:
    with hanging(mail, wang) as first:
        assert read_all(mail, wang) == messages
        # the first goes on where it was
        rest = [first.line()]
        while rest[-1] != ".":
            rest.append(first.line())
        first.send("QUIT\r\n")
        assert first.line().startswith("+OK")
    assert read_all(mail, wang) == messages[1:]


def test_what_one_session_deletes_while_another_is_open_does_not_disturb_it(
    mail: MailNode, wang: Account, messages: list[bytes]
) -> None:
    first, second = mail.pop3(wang), mail.pop3(wang)
    second.dele(1)
    second.quit()
    assert b"".join(line + b"\r\n" for line in first.retr(2)[1]) == messages[1]
    with pytest.raises(poplib.error_proto):
        first.retr(1)
    assert first.noop().startswith(b"+OK")
    first.quit()
    assert read_all(mail, wang) == messages[1:]


@pytest.mark.parametrize("end", ["process killed", "connection reset"])
def test_after_a_session_ends_by_force_everything_is_there(
    mail: MailNode, wang: Account, messages: list[bytes], end: str
) -> None:
    with hanging(mail, wang) as wire:
        if end == "process killed":
            (process,) = mail.node.wait_until("POP3 process", lambda: pop3_processes(mail, wang), timeout=TIMEOUT)
            mail.node.run("kill", "-KILL", process)
        else:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # nothing was deleted, since nobody said QUIT (RFC 1939, 6)
    assert read_all(mail, wang) == messages
    # and the next session may delete
    client = mail.pop3(wang)
    client.dele(1)
    client.quit()
    assert read_all(mail, wang) == messages[1:]


def test_a_message_that_comes_while_a_session_is_open_waits_for_the_next(
    mail: MailNode, wang: Account, messages: list[bytes]
) -> None:
    client = mail.pop3(wang)
    new = written(wang.address, wang.address, word := mark())
    with mail.submission(wang) as sender:
        sender.sendmail(wang.address, [wang.address], new, ["BODY=8BITMIME"])
    mail.arrived(wang, word)
    assert client.stat()[0] == 2
    client.quit()
    assert [without_trace(each) for each in read_all(mail, wang)[2:]] == [new]
