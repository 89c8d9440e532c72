"""A mailbox goes to another group while people work in it, and nobody finds anything missing."""

from __future__ import annotations

import imaplib
import json
import re
import threading
from typing import Any

import pytest

from tests.integration.test_groups_meet import MAIL, PASSWORD, TWO, both, mailbox, send  # noqa: F401 - a fixture
from tests.lab import Node
from tests.lab.appliance import create_domain
from tests.lab.polling import wait_until
from tests.load.mail_load import MailLoad, People
from tests.load.workers import insecure

PEOPLE = People("load.test", PASSWORD)


def make(node: Node, address: str, group: str = "mail") -> None:
    words = ("mailbox", "create", address, "--password-stdin", "--group", group)
    node.run("posthouse", *words, input=PASSWORD + "\n")


def move(node: Node, address: str, group: str) -> dict[str, Any]:
    done: dict[str, Any] = json.loads(
        node.run("posthouse", "mailbox", "move", address, group, "--json", timeout=120).stdout
    )
    return done


def home(node: Node, group: str, address: str) -> Any:
    found = json.loads(node.run("posthouse", "mailbox", "show", address, "--json").stdout)
    return node.root / "srv/posthouse" / group / found["path"]


@pytest.fixture(scope="module")
def pair(both: Node) -> Node:  # noqa: F811
    create_domain(both, "load.test")
    return both


def snapshot(host: str, address: str) -> dict[str, Any]:
    """What a mail program keeps of a mailbox: a change of any of it makes it fetch everything again."""
    with imaplib.IMAP4_SSL(host, ssl_context=insecure(), timeout=40) as session:
        session.login(address, PASSWORD)
        listed = [line for line in session.list()[1] if isinstance(line, bytes) and b"\\Noselect" not in line]
        folders = sorted(line.rpartition(b" ")[2] for line in listed)
        found: dict[str, Any] = {
            "folders": folders,
            "subscribed": sorted(line for line in session.lsub()[1] if isinstance(line, bytes)),
            "quota": session.getquotaroot("INBOX")[1],
        }
        for folder in folders:
            name = folder.decode()
            session.select(name, readonly=True)
            fetched = session.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE)")[1]
            found[name] = (
                session.response("UIDVALIDITY")[1],
                session.status(name, "(UIDVALIDITY UIDNEXT HIGHESTMODSEQ MESSAGES UNSEEN)")[1],
                # \\Recent is of a session, not of a message
                [re.sub(rb"\\Recent ?", b"", line) for line in fetched if isinstance(line, bytes)],
            )
        return found


def test_everything_that_a_mail_program_remembers_is_as_before(pair: Node) -> None:
    address = "keep@load.test"
    make(pair, address)
    with mailbox(MAIL, address) as session:
        session.create("Work/Old")
        session.subscribe("Work/Old")
        for number in range(5):
            flags = r"(\Seen \Flagged $Important)" if number % 2 else ""
            date = f'"1{number}-Mar-2021 10:00:00 +0800"'
            session.append("Work/Old", flags, date, f"Subject: {number}\r\n\r\ntext {number}\r\n".encode())
        session.select("Work/Old")
        session.uid("STORE", "2", "+FLAGS", r"(\Deleted)")
        session.expunge()
    script = home(pair, "mail", address) / "sieve"
    script.mkdir(mode=0o700, exist_ok=True)
    (script / "mine.sieve").write_text("keep;\n")
    pair.run("chown", "-R", "vmail:vmail", str(script).removeprefix(str(pair.root)))
    before = snapshot(MAIL, address)
    old, new = home(pair, "mail", address), home(pair, "two", address)

    done = move(pair, address, "two")

    assert (done["source"], done["target"]) == ("mail", "two")
    assert not old.exists()
    assert (new / "sieve/mine.sieve").read_text() == "keep;\n"
    for host in (TWO, MAIL):
        assert snapshot(host, address) == before
    assert move(pair, address, "two")["copies"] == 0, "once more is harmless"


def test_a_mailbox_that_nobody_has_used_yet_moves_too(pair: Node) -> None:
    make(pair, "fresh@load.test")
    move(pair, "fresh@load.test", "two")
    identity = send(MAIL, "fresh@load.test")
    wait_until("its first message is there", lambda: count(TWO, "fresh@load.test", identity) == 1)


def count(host: str, address: str, subject: str) -> int:
    with mailbox(host, address) as session:
        return len(session.search(None, "SUBJECT", subject)[1][0].split())


def test_nothing_is_lost_while_everybody_works_in_mailboxes_that_move_there_and_back(pair: Node) -> None:
    for address in PEOPLE.all:
        make(pair, address)
    load = MailLoad(MAIL, PEOPLE).start()
    moves = []
    for group in ("two", "mail"):
        for address in PEOPLE.all:
            moves.append(move(pair, address, group))
        load.wait_flowing()
    load.stop()
    # what met a hold waits for its next turn, up to smtp.retry_min, unless somebody has it tried
    pair.wait_until("the queues are empty", lambda: not waiting(pair) or tried(pair), timeout=90, every=2.0)
    outcome = load.outcome()
    assert outcome.wrong == [], str(outcome)
    assert outcome.mail.duplicates == {}, str(outcome)
    print(outcome, [round(each["held"] or 0.0, 1) for each in moves])


_SHRINKS = """
import os, subprocess, sys, threading
from pathlib import Path
from appliance.errors import PosthouseError
from appliance.mailbox_move import mirror
from tempfile import mkdtemp

source, target = Path(mkdtemp()), Path(mkdtemp())
shrinks, after = source / "dovecot.index.log", source / "dovecot.later"
shrinks.write_bytes(os.urandom(8_000_000))
after.write_text("after")
for each in (source, target, shrinks, after):
    os.chown(each, *(mirror.durable_files.user_id("vmail"), mirror.durable_files.group_id("vmail")))

def hand_on(come, sink):
    passed = 0
    while data := os.read(come, 65536):
        passed += len(data)
        if passed > 1_000_000:
            os.truncate(shrinks, 2_000_000)
        sink.write(data)
        sink.flush()

def carry(come, go, deadline):
    words = {"stdin": subprocess.PIPE, "stdout": go, "cwd": target, "user": "vmail", "group": "vmail"}
    receiving = subprocess.Popen(mirror.RECEIVE, **words)
    threading.Thread(target=hand_on, args=(os.dup(come), receiving.stdin), daemon=True).start()
    return receiving.wait(deadline)

try:
    mirror.copy(source, carry, 60.0, os.open(os.devnull, os.O_RDONLY), at_rest=sys.argv[1] == "rest")
    print("copied")
except PosthouseError as error:
    print(error.key)
print((target / "dovecot.later").read_text())
"""


@pytest.mark.parametrize(("use", "told"), [("use", "copied"), ("rest", "program-failed")])
def test_a_file_that_shrinks_while_it_is_read_is_left_to_the_copy_at_rest(pair: Node, use: str, told: str) -> None:
    said = pair.run("/opt/posthouse/bin/python", "-c", _SHRINKS, use, timeout=90).stdout
    assert said.split() == [told, "after"]


def tried(node: Node) -> bool:
    """Have everything that waits tried at once; never what is waited for."""
    for group in ("mail", "two"):
        node.run("posthouse", "queue", "flush", "--group", group)
    return False


def waiting(node: Node) -> str:
    config = "/var/lib/posthouse/engines/postfix@{}/current"
    return "".join(node.run("postqueue", "-c", config.format(group), "-j").stdout for group in ("mail", "two"))


_LDAP = ("ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", "ldapi://%2Frun%2Fposthouse%2Flocal%2Fslapd%2Fldapi")


def hold(node: Node, address: str) -> None:
    """What the move writes first, by hand."""
    entry = f"dn: mail={address},associatedDomain=load.test,ou=domains,o=posthouse\nchangetype: modify\n"
    node.run(*_LDAP, input=f"{entry}add: posthouseMoving\nposthouseMoving: two\n")


def test_logins_and_mail_wait_for_a_held_mailbox_and_an_abandoned_hold_ends(pair: Node) -> None:
    address = "held@load.test"
    make(pair, address)
    pair.run("systemctl", "stop", "posthouse-agent.service")
    outcomes: dict[str, object] = {}

    def log_in(host: str) -> None:
        with imaplib.IMAP4_SSL(host, ssl_context=insecure(), timeout=60) as session:
            try:
                outcomes[host] = session.login(address, PASSWORD)[0]
            except imaplib.IMAP4.error as error:
                outcomes[host] = error

    clients = [threading.Thread(target=log_in, args=(host,)) for host in (MAIL, TWO)]
    try:
        hold(pair, address)
        clients[0].start()
        identity = send(TWO, address)
        pair.wait_until("its mail waits", lambda: address in waiting(pair))
        clients[0].join(2)
        assert outcomes == {}, "the client hears nothing yet"
    finally:
        pair.run("systemctl", "start", "posthouse-agent.service")
    clients[0].join(60)
    assert outcomes == {MAIL: "OK"}
    clients[1].start()
    clients[1].join(60)
    assert outcomes == {MAIL: "OK", TWO: "OK"}
    pair.run("posthouse", "queue", "flush", "--group", "mail")
    pair.wait_until("its mail has come", lambda: count(MAIL, address, identity) == 1)


def test_a_move_that_is_killed_is_done_by_the_next(pair: Node) -> None:
    address = "killed@load.test"
    make(pair, address)
    with mailbox(MAIL, address) as session:
        for number in range(20):
            session.append("INBOX", "", None, f"Subject: {number}\r\n\r\n{'x' * 100_000}\r\n".encode())
    before = snapshot(MAIL, address)
    for after in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0):
        words = ("posthouse", "mailbox", "move", address, "two")
        pair.run("timeout", "--signal=KILL", str(after), *words, check=False)
        pair.run("systemctl", "kill", "--signal=KILL", "posthouse-work-mail:move-*", check=False)
    pair.wait_until("nothing of the killed ones is at work", lambda: moved(pair, address))
    assert snapshot(TWO, address) == before
    assert not home(pair, "mail", address).exists()


def moved(node: Node, address: str) -> bool:
    return node.run("posthouse", "mailbox", "move", address, "two", check=False, timeout=120).returncode == 0
