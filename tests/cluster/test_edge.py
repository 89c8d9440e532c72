"""The edges of a cluster: a client at any node's own address reaches its mailbox, and waits while the group moves."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from appliance.engines import topology
from tests.cluster.shared import PEOPLE, serving
from tests.integration.test_groups_meet import sieve_login
from tests.lab import Lab, Node, wait_until
from tests.lab.appliance import status
from tests.lab.cluster import GROUP, Cluster
from tests.load.workers import insecure

pytestmark = pytest.mark.timeout(300)

EDGE = str(topology.EDGE)
#: Seconds from one client to the next.
_BEGIN_EVERY = 0.2
#: An address of the lab's network that nobody has.
OUTSIDE = "10.57.0.177"
_LDAPI = "ldapi://%2Frun%2Fposthouse%2Flocal%2Fslapd%2Fldapi"


@pytest.fixture(scope="module")
def made(lab: Lab) -> Iterator[Cluster]:
    with serving(lab) as cluster:
        yield cluster


@pytest.fixture
def cluster(made: Cluster) -> Iterator[Cluster]:
    made.mend()
    made.wait_whole()
    for node in made.nodes:
        wait_until(f"the edge of {node.name} serves", lambda node=node: edge_state(node) == "running", timeout=30)  # type: ignore[misc]
    yield made
    made.mend()


def edge_state(node: Node) -> str | None:
    found = [each["state"] for each in status(node).get("instances", ()) if each["instance"] == EDGE]
    return found[0] if found else None


class CutOff(Exception):
    """A session that had signed in, and so was at the group, was cut off: nobody can hold it (decision 0049)."""


@contextmanager
def signed_in() -> Iterator[None]:
    """What a session does after it signed in."""
    try:
        yield
    except (OSError, imaplib.IMAP4.abort, smtplib.SMTPServerDisconnected) as error:
        raise CutOff(repr(error)) from error


def log_in(node: Node, person: str, password: str = PEOPLE.password) -> str:
    """By IMAP at the node's own address; the address that the client has."""
    with imaplib.IMAP4_SSL(str(node.address), ssl_context=insecure(), timeout=40) as session:
        session.login(person, password)
        with signed_in():
            session.select("INBOX")
            return str(session.socket().getsockname()[0])


def may_send(node: Node, person: str) -> None:
    """Sign in for sending at the node's own address, as far as a recipient that is taken."""
    with smtplib.SMTP_SSL(str(node.address), topology.SUBMISSIONS, context=insecure(), timeout=40) as session:
        session.login(person, PEOPLE.password)
        with signed_in():
            session.mail(person)
            assert session.rcpt(person)[0] == 250


@dataclass
class Clients:
    """Clients that begin to log in and to send, one after the other; `told` is what each heard that was no yes.

    One that is cut off after it signed in begins anew, once, as mail programs do.
    """

    began: int = 0
    told: list[str] = field(default_factory=list)


@contextmanager
def clients(node: Node) -> Iterator[Clients]:
    """New ones at this node's edge for the block; each is waited for."""
    found, ended, threads = Clients(), threading.Event(), []

    def one(act: Callable[[Node, str], object]) -> None:
        try:
            try:
                act(node, PEOPLE.probe)
            except CutOff:
                act(node, PEOPLE.probe)
        except (CutOff, OSError, imaplib.IMAP4.error, smtplib.SMTPException, AssertionError) as error:
            found.told.append(repr(error))

    def begin() -> None:
        while not ended.wait(_BEGIN_EVERY):
            for act in (log_in, may_send):
                found.began += 1
                threads.append(threading.Thread(target=one, args=(act,)))
                threads[-1].start()

    beginner = threading.Thread(target=begin)
    beginner.start()
    try:
        yield found
    finally:
        ended.set()
        beginner.join()
        for each in threads:
            each.join(60)


def test_every_node_lets_people_in_and_the_group_hears_who_the_client_is(cluster: Cluster) -> None:
    owner, person = cluster.the_owner(), PEOPLE.probe
    for node in cluster.nodes:
        client = log_in(node, person)
        wait_until(
            "the group's log names the client",
            lambda: f"user=<{person}>, method=PLAIN, rip={client}, " in owner.journal("posthouse-dovecot@mail.service"),  # noqa: B023
        )
        pop = poplib.POP3_SSL(str(node.address), context=insecure(), timeout=40)
        pop.user(person)
        pop.pass_(PEOPLE.password)
        pop.quit()
        assert sieve_login(str(node.address), person, PEOPLE.password)
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            log_in(node, person, "wrong")


@pytest.mark.parametrize("port", [topology.SUBMISSION, topology.SUBMISSIONS])
def test_what_is_sent_through_an_edge_is_the_groups_as_soon_as_it_is_answered(cluster: Cluster, port: int) -> None:
    owner, person, identity = cluster.the_owner(), PEOPLE.probe, uuid.uuid4().hex
    node = cluster.others(owner)[0]
    wraps = port == topology.SUBMISSIONS
    made = smtplib.SMTP_SSL(str(node.address), port, context=insecure(), timeout=40) if wraps else None
    with made or smtplib.SMTP(str(node.address), port, timeout=40) as session:
        if not wraps:
            session.ehlo()
            assert "auth" not in session.esmtp_features
            session.starttls(context=insecure())
        assert session.sock is not None
        client = session.sock.getsockname()[0]
        session.login(person, PEOPLE.password)
        text = f"From: {person}\r\nMessage-ID: <{identity}@load.test>\r\nSubject: {identity}\r\n\r\nhello\r\n"
        assert session.sendmail(person, [person], text) == {}
    wait_until("it is in the mailbox", lambda: b"Received" in received(node, person, identity), timeout=30)
    # a name would be the edge's, which is not the client's
    assert f"(unknown [{client}])".encode() in received(node, person, identity)
    assert not cluster.others(owner)[0].run("ls", "/srv/posthouse/mail/postfix", check=False).stdout


def test_who_has_signed_in_at_an_edge_cannot_say_to_be_somebody_else(cluster: Cluster) -> None:
    node, person = cluster.nodes[0], PEOPLE.probe
    with smtplib.SMTP_SSL(str(node.address), topology.SUBMISSIONS, context=insecure(), timeout=40) as session:
        session.login(person, PEOPLE.password)
        assert session.docmd("XCLIENT", f"LOGIN=postmaster@{PEOPLE.domain}")[0] == 501
        session.mail(person)
        assert session.rcpt(person)[0] == 250


def received(node: Node, person: str, subject: str) -> bytes:
    """The header of the message, read through the node's edge."""
    with imaplib.IMAP4_SSL(str(node.address), ssl_context=insecure(), timeout=40) as session:
        session.login(person, PEOPLE.password)
        session.select("INBOX")
        numbers = session.search(None, "SUBJECT", subject)[1][0].split()
        if not numbers:
            return b""
        found = session.fetch(numbers[0].decode(), "(BODY.PEEK[HEADER])")[1][0]
        assert isinstance(found, tuple)
        return found[1]


def test_an_edge_listens_where_people_reach_its_server_if_that_is_elsewhere(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    node.run("ip", "address", "replace", f"{OUTSIDE}/24", "dev", "eth0")
    try:
        for chosen, answers, silent in ((OUTSIDE, OUTSIDE, str(node.address)), ("", str(node.address), OUTSIDE)):
            cluster.ask("settings", "set", "edge.addresses", chosen, "--node", node.name)
            wait_until("it listens there", lambda at=answers: listens(at), timeout=20)  # type: ignore[misc]
            assert not listens(silent)
        cluster.ask("settings", "set", "edge.addresses", cluster.address, "--node", node.name)
        wait_until("it is told that this is a group's", lambda: "edge-address-of-group" in warned(node), timeout=20)
        assert listens(str(node.address))
    finally:
        cluster.ask("settings", "reset", "edge.addresses", "--node", node.name)
        node.run("ip", "address", "del", f"{OUTSIDE}/24", "dev", "eth0")


def listens(address: str) -> bool:
    """Whether somebody answers IMAP there."""
    try:
        with imaplib.IMAP4_SSL(address, ssl_context=insecure(), timeout=5):
            return True
    except OSError:
        return False


def warned(node: Node) -> set[str]:
    """The keys of what the node's agent warns of."""
    return {each["key"] for each in status(node).get("warnings", ())}


def test_nobody_is_told_of_a_planned_move(cluster: Cluster) -> None:
    owner = cluster.the_owner()
    target, through = cluster.others(owner)
    with clients(through) as told:
        cluster.ask("group", "move", GROUP, target.name, timeout=60)
        wait_until("a client more", lambda began=told.began: told.began >= began + 4, timeout=10)  # type: ignore[misc]
    assert told.told == []
    assert cluster.owner() is target


def test_who_comes_while_the_owner_is_dead_waits_for_the_next(cluster: Cluster) -> None:
    owner = cluster.the_owner()
    through = cluster.others(owner)[1]
    owner.kill()
    with clients(through) as told:
        wait_until("another node owns the group", lambda: cluster.owner() not in (None, owner), timeout=60,
                   explain=cluster.last_words)  # fmt: skip
    assert told.began
    assert told.told == []


@pytest.mark.slow
def test_an_edge_that_cannot_know_says_not_now_and_never_that_the_password_is_wrong(cluster: Cluster) -> None:
    node, stranger = cluster.others(cluster.the_owner())[0], f"stranger@{PEOPLE.domain}"
    words = ("mailbox", "create", stranger, "--password-stdin")
    cluster.answering().run("posthouse", *words, input=PEOPLE.password + "\n")
    wait_until("the edge knows the mailbox", lambda: known(node, stranger), timeout=20)
    node.run("systemctl", "stop", "posthouse-agent.service", "posthouse-slapd@local.service")
    try:
        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
            log_in(node, stranger)
    finally:
        node.run("systemctl", "start", "posthouse-slapd@local.service", "posthouse-agent.service")
    assign(cluster, stranger, "ghost")
    wait_until("the edge hears of it", lambda: "posthouseGroup: ghost" in entry(node, stranger), timeout=20)
    began = time.monotonic()
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        log_in(node, stranger)
    assert time.monotonic() - began > 10, "a group that may yet become known is waited for"


def entry(node: Node, address: str) -> str:
    """The mailbox as this node's directory has it."""
    words = ("ldapsearch", "-LLL", "-Y", "EXTERNAL", "-Q", "-o", "ldif-wrap=no", "-H", _LDAPI, "-b", "o=posthouse")
    return node.run(*words, f"(mail={address})", check=False).stdout


def known(node: Node, address: str) -> bool:
    return "posthouseStatus: active" in entry(node, address)


def assign(cluster: Cluster, address: str, group: str) -> None:
    """Say in the directory that the mailbox is in this group, which no command does for a group that is not there."""
    node = cluster.answering()
    name = next(line for line in entry(node, address).splitlines() if line.startswith("dn: "))
    change = f"{name}\nchangetype: modify\nreplace: posthouseGroup\nposthouseGroup: {group}\n"
    node.run("ldapmodify", "-Y", "EXTERNAL", "-Q", "-H", _LDAPI, input=change)


@pytest.mark.slow
def test_an_edge_goes_on_without_the_store(cluster: Cluster) -> None:
    owner = cluster.the_owner()
    node, other = cluster.others(owner)
    for each in (owner, other):
        each.run("systemctl", "stop", "posthouse-agent.service", "posthouse-etcd@local.service")
    try:
        wait_until("the node is without the store", lambda: not status(node).get("store_connected"), timeout=60)
        node.run("systemctl", "restart", "posthouse-agent.service")
        wait_until("an agent that began without it has the edge", lambda: edge_state(node) == "running", timeout=30)
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            log_in(node, PEOPLE.probe, "wrong")
    finally:
        for each in (owner, other):
            each.run("systemctl", "start", "posthouse-etcd@local.service", "posthouse-agent.service")
    cluster.wait_whole()
    log_in(node, PEOPLE.probe)
