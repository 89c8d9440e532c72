"""`posthouse queue` and the system's own sendmail, on a real node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mail_clients import MailNode, mail_node, mark, send

#: Nothing listens there (TEST-NET-1, RFC 5737), so that mail for it waits.
AWAY = "somebody@[192.0.2.1]"


@pytest.fixture(scope="module")
def mail(node: Any, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "queue.test") as made:
        yield made


def queue(mail: MailNode, *words: str) -> Any:
    return json.loads(mail.node.run("posthouse", "queue", *words, "--json").stdout)


def waiting(mail: MailNode, sender: str) -> dict[str, Any]:
    """The message of a sender that waits for delivery."""

    def found() -> dict[str, Any] | None:
        return next((each for each in queue(mail, "list") if each["sender"] == sender), None)

    message = mail.node.wait_until(f"message of {sender}", found, timeout=15.0, every=0.2)
    assert message is not None
    return message


def refused(mail: MailNode, *words: str) -> tuple[int, str]:
    done = mail.node.run("posthouse", "queue", *words, check=False)
    return done.returncode, done.stderr


def test_a_message_is_listed_shown_held_released_and_deleted(mail: MailNode) -> None:
    account, word = mail.mailbox(), mark()
    with mail.submission(account) as client:
        send(client, account.address, AWAY, word)
    message = waiting(mail, account.address)
    name = str(message["queue_id"])
    assert [each["address"] for each in message["recipients"]] == [AWAY]
    assert message["message_size"] > 200

    assert queue(mail, "hold", name) == {"count": 1}
    assert waiting(mail, account.address)["queue_name"] == "hold"
    shown = queue(mail, "show", name)
    assert f"To: {AWAY}" in shown["text"]
    assert word not in shown["text"]
    assert word in queue(mail, "show", name, "--whole")["text"]
    page = mail.node.run("posthouse", "queue", "show", name, "--whole").stdout
    assert name in page
    assert word in page
    listed = mail.node.run("posthouse", "queue", "list").stdout
    assert name in listed
    assert "held" in listed

    assert queue(mail, "release", name) == {"count": 1}
    assert waiting(mail, account.address)["queue_name"] != "hold"
    assert queue(mail, "flush", name) == {"flushed": name}
    assert queue(mail, "flush") == {"flushed": "ALL"}
    assert queue(mail, "delete", name) == {"count": 1}
    assert name not in {each["queue_id"] for each in queue(mail, "list")}
    for words in (("show", name), ("delete", name), ("flush", name)):
        status, said = refused(mail, *words)
        assert (status, name in said) == (3, True)


@pytest.mark.parametrize(
    "words", [("delete",), ("delete", "ALL"), ("hold", "--all", "ABCDEF"), ("show", "-r"), ("show", "../x")]
)
def test_what_is_no_queue_id_is_refused(mail: MailNode, words: tuple[str, ...]) -> None:
    assert refused(mail, *words)[0] == 2


def test_everything_is_deleted_only_after_a_yes(mail: MailNode) -> None:
    assert refused(mail, "delete", "--all")[0] == 2
    account = mail.mailbox()
    with mail.submission(account) as client:
        send(client, account.address, AWAY, "x")
    waiting(mail, account.address)
    assert queue(mail, "delete", "--all", "--yes")["count"] >= 1
    assert queue(mail, "list") == []


# -- sendmail ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["root", "nobody", "mail"])
def test_the_systems_sendmail_delivers(mail: MailNode, user: str) -> None:
    account, word = mail.mailbox(), mark()
    script = f"printf 'Subject: cron\\n\\n{word}\\n' | /usr/sbin/sendmail -f robot@{mail.domain} {account.address}"
    mail.node.run("runuser", "-u", user, "--", "sh", "-c", script)
    mail.arrived(account, word)


def test_the_systems_mailq_shows_this_queue(mail: MailNode) -> None:
    account = mail.mailbox()
    with mail.submission(account) as client:
        send(client, account.address, AWAY, "x")
    name = str(waiting(mail, account.address)["queue_id"])
    for user in ("root", "nobody"):
        assert name in mail.node.run("runuser", "-u", user, "--", "mailq").stdout
    queue(mail, "delete", name)


def test_mail_for_root_goes_where_an_alias_says(mail: MailNode) -> None:
    account, word = mail.mailbox(), mark()
    domain = mail.node.run(
        "postconf", "-c", "/var/lib/posthouse/engines/postfix@mail/current", "-hx", "myorigin"
    ).stdout.strip()
    mail.node.run("posthouse", "domain", "create", domain, check=False)
    mail.alias(f"root@{domain}", account.address)
    try:
        mail.node.run("sh", "-c", f"printf 'Subject: cron\\n\\n{word}\\n' | sendmail root")
        assert word.encode() in mail.arrived(account, word)
    finally:
        mail.node.run("posthouse", "alias", "delete", f"root@{domain}")


def test_mail_for_root_that_nobody_reads_comes_back_and_the_journal_tells(mail: MailNode) -> None:
    mail.node.run("posthouse", "domain", "create", "posthouse.test", check=False)
    mail.node.run("sh", "-c", "printf 'Subject: cron\\n\\nx\\n' | sendmail root")
    told = ("journalctl", "-u", "posthouse-postfix@mail", "--output=cat", "--grep", "root@")

    def bounced() -> bool:
        said = mail.node.run(*told, check=False).stdout
        return any("to=<root@posthouse.test>" in line and "status=bounced" in line for line in said.splitlines())

    mail.node.wait_until("the journal tells", bounced, timeout=20.0, every=0.2)


def test_a_catch_all_takes_what_the_system_itself_writes_to_root_and_nothing_from_elsewhere(mail: MailNode) -> None:
    account, word = mail.mailbox(), mark()
    mail.node.run("posthouse", "domain", "create", "posthouse.test", check=False)
    mail.alias("@posthouse.test", account.address)
    try:
        mail.node.run("sh", "-c", f"printf 'Subject: cron\\n\\n{word}\\n' | sendmail root")
        mail.arrived(account, word)
        with mail.smtp() as client:
            client.mail("somebody@elsewhere.example")
            assert client.rcpt("anybody@posthouse.test")[0] == 250
            assert client.rcpt("root@posthouse.test")[0] == 550
    finally:
        mail.node.run("posthouse", "alias", "delete", "@posthouse.test")


def test_where_the_queue_is_not_sendmail_asks_to_try_later(mail: MailNode) -> None:
    """A node that does not run the group has no volume of it; EX_TEMPFAIL (sysexits.h) keeps cron's mail with cron."""
    without = "mount -t tmpfs none /srv/posthouse && echo x | sendmail root"
    done = mail.node.run("unshare", "--mount", "sh", "-c", without, check=False)
    assert done.returncode == 75
    assert "/srv/posthouse/mail/postfix/spool" in done.stderr


def test_nobody_starts_a_second_postfix_on_the_queue(mail: MailNode) -> None:
    before = mail.node.run("systemctl", "show", "--property=MainPID", "--value", "posthouse-postfix@mail").stdout
    assert mail.node.run("postfix", "start", check=False).returncode != 0
    after = mail.node.run("systemctl", "show", "--property=MainPID", "--value", "posthouse-postfix@mail").stdout
    assert after == before
    with mail.smtp() as client:
        assert client.noop()[0] == 250
