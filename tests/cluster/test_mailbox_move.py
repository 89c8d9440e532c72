"""A mailbox goes to a group on another node while people work in it; whatever fails meanwhile, it is whole in one."""

from __future__ import annotations

import imaplib
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.test_groups_meet import PASSWORD, send
from tests.integration.test_mailbox_move import snapshot
from tests.lab import Lab, Node, wait_until
from tests.lab.cluster import ADDRESS, GROUP, NAMES, Cluster
from tests.lab.disk import SharedDisk
from tests.lab.fence import FenceDevice
from tests.load.mail_load import MailLoad, People
from tests.load.workers import insecure

pytestmark = pytest.mark.timeout(420)

TWO = "two"
TWO_ADDRESS = "10.57.0.101"
PEOPLE = People("load.test", PASSWORD)
_QUEUE = "/var/lib/posthouse/engines/postfix@{}/current"


class Pair:
    """A cluster with the groups mail and two, each at home on another node."""

    def __init__(self, cluster: Cluster, second: SharedDisk) -> None:
        self.cluster = cluster
        self.disks = {GROUP: cluster.disk, TWO: second}

    def owner(self, group: str) -> Node:
        """Who has the group's volume mounted, once somebody has."""
        disk = self.disks[group]

        def found() -> Node | None:
            return next((node for node in self.cluster.nodes if disk.is_mounted_on(node.name)), None)

        return wait_until(f"somebody has {group}", found, timeout=90, explain=self.cluster.last_words)  # type: ignore[return-value]

    def bystander(self) -> Node:
        """The node that owns neither."""
        owners = {self.owner(GROUP), self.owner(TWO)}
        return next(node for node in self.cluster.nodes if node not in owners)

    def apart(self) -> None:
        """Whole again, each group on a node of its own."""
        self.cluster.mend()
        self.cluster.recover()
        if self.owner(GROUP) is self.owner(TWO):
            elsewhere = self.cluster.others(self.owner(GROUP))[0]
            self.cluster.ask("group", "move", TWO, elsewhere.name, timeout=90)
        self.cluster.wait_whole()

    def make(self, address: str, group: str = GROUP, letters: int = 0) -> None:
        words = ("mailbox", "create", address, "--password-stdin", "--group", group)
        self.cluster.answering().run("posthouse", *words, input=PASSWORD + "\n")
        if letters:
            with log_in(address, ADDRESS if group == GROUP else TWO_ADDRESS) as session:
                for number in range(letters):
                    flags = r"(\Seen $Important)" if number % 2 else ""
                    session.append("INBOX", flags, None, f"Subject: {number}\r\n\r\n{'x' * 100_000}\r\n".encode())

    def move(self, address: str, group: str, on: Node | None = None) -> dict[str, Any]:
        node = on or self.cluster.answering()
        said = node.run("posthouse", "mailbox", "move", address, group, "--json", timeout=150).stdout
        done: dict[str, Any] = json.loads(said)
        return done

    def shown(self, address: str) -> dict[str, Any]:
        said = self.cluster.answering().run("posthouse", "mailbox", "show", address, "--json").stdout
        found: dict[str, Any] = json.loads(said)
        return found

    def home(self, group: str, address: str) -> Any:
        return self.disks[group].path_on(self.owner(group)) / self.shown(address)["path"]

    def waits(self, group: str) -> str:
        """What is in the group's queue."""
        return self.owner(group).run("postqueue", "-c", _QUEUE.format(group), "-j", timeout=20).stdout

    def traces(self, address: str) -> str:
        """What the groups' nodes said of mail for this mailbox, and of mail that was tried again."""
        said = {node: node.journal().splitlines() for node in (self.owner(GROUP), self.owner(TWO))}
        wanted = (address, "are tried", "is tried again")
        return "\n".join(line for lines in said.values() for line in lines if any(word in line for word in wanted))

    def wait_queues_empty(self) -> None:
        wait_until(
            "the queues are empty",
            lambda: not self.waits(GROUP) and not self.waits(TWO),
            timeout=60,
            every=1.0,
            explain=lambda: self.waits(GROUP) + self.waits(TWO),
        )


def log_in(address: str, host: str) -> imaplib.IMAP4_SSL:
    session = imaplib.IMAP4_SSL(host, ssl_context=insecure(), timeout=40)
    session.login(address, PASSWORD)
    return session


def letters(host: str, address: str) -> dict[str, Any]:
    """Every message with its UID, flags and date. What the index alone knows, HIGHESTMODSEQ, a power cut takes back."""
    found = snapshot(host, address)
    folders = (each.decode() for each in found["folders"])
    return {name: (found[name][0], found[name][2]) for name in folders}


def count(host: str, address: str, subject: str) -> int:
    with log_in(address, host) as session:
        session.select("INBOX")
        return len(session.search(None, "SUBJECT", subject)[1][0].split())


@pytest.fixture(scope="module")
def made(lab: Lab) -> Iterator[Pair]:
    fence = FenceDevice(lab).start()
    try:
        second = lab.disk("second", megabytes=512)
        cluster = Cluster.build(lab, fence)
        nodes = [*cluster.others(cluster.the_owner()), cluster.the_owner()]
        candidates = [word for node in nodes for word in ("--candidate", node.name)]
        volume = ("--volume", f"block:{second.device}", "--address", TWO_ADDRESS)
        cluster.ask("group", "create", TWO, *volume, *candidates, timeout=120)
        cluster.wait_whole()
        node = cluster.answering()
        node.run("posthouse", "domain", "create", PEOPLE.domain)
        yield Pair(cluster, second)
    finally:
        fence.stop()
        for each in list(lab.nodes.values()):
            if each.name in NAMES:
                lab.remove_node(each)
        for disk in list(lab.disks.values()):
            lab.remove_disk(disk)


@pytest.fixture
def pair(made: Pair) -> Pair:
    made.apart()
    return made


def test_nothing_is_lost_while_everybody_works_and_nothing_is_fetched_anew(pair: Pair) -> None:
    for address in PEOPLE.all:
        pair.make(address)
    pair.make("keep@load.test", letters=5)
    before, old = snapshot(ADDRESS, "keep@load.test"), pair.home(GROUP, "keep@load.test")
    load = MailLoad(ADDRESS, PEOPLE).start()
    done = [pair.move(address, TWO, pair.bystander()) for address in (*PEOPLE.all, "keep@load.test")]
    load.wait_flowing()
    done += [pair.move(address, GROUP, pair.owner(TWO)) for address in PEOPLE.all]
    load.wait_flowing()
    load.stop()
    pair.wait_queues_empty()
    outcome = load.outcome()
    print(outcome, [round(each["held"] or 0.0, 1) for each in done])
    assert outcome.wrong == [], str(outcome)
    assert outcome.mail.duplicates == {}, str(outcome)
    assert (done[0]["source"], done[0]["target"]) == (GROUP, TWO)
    for host in (ADDRESS, TWO_ADDRESS):
        assert snapshot(host, "keep@load.test") == before
    assert not old.exists()
    assert pair.move("keep@load.test", TWO)["copies"] == 0, "once more is harmless"


def test_mail_that_meets_the_hold_arrives_long_before_postfix_would_try_it_again(pair: Pair) -> None:
    pair.make("met@load.test", letters=1)
    mark = ("ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", "ldapi://%2Frun%2Fposthouse%2Flocal%2Fslapd%2Fldapi")
    entry = "dn: mail=met@load.test,associatedDomain=load.test,ou=domains,o=posthouse\nchangetype: modify\n"
    pair.owner(GROUP).run(*mark, input=f"{entry}add: posthouseMoving\nposthouseMoving: two\n")
    identity = send(ADDRESS, "met@load.test")
    wait_until("its mail waits", lambda: "met@load.test" in pair.waits(GROUP), timeout=30)
    pair.move("met@load.test", TWO)
    wait_until(
        "its mail has come",
        lambda: count(TWO_ADDRESS, "met@load.test", identity) == 1,
        timeout=60,  # the queue manager remembers for 30 s where the mailbox was; its next try comes after minutes
        explain=lambda: pair.waits(GROUP) + pair.waits(TWO) + pair.traces("met@load.test"),
    )


def test_who_does_not_own_the_mailboxs_group_is_refused_and_without_a_certificate_there_is_no_answer(
    pair: Pair,
) -> None:
    pair.make("safe@load.test", letters=1)
    owner, stranger = pair.owner(TWO), pair.bystander()
    told = refusal(stranger, owner, "safe@load.test")
    assert told == "move-not-owner"
    assert refusal(pair.owner(GROUP), owner, "safe@load.test") == ""
    assert not (pair.disks[TWO].path_on(owner) / pair.shown("safe@load.test")["path"]).exists()
    words = ("openssl", "s_client", "-connect", f"{owner.address}:7392", "-tls1_3", "-quiet", "-verify_quiet")
    said = stranger.run(*words, check=False, timeout=20, input='{"mode":"ask"}\n')
    assert said.stdout == "", "it hangs up before a word is read"


_ASK = """
import sys
from appliance.directory.service import DirectoryService
from appliance.errors import PosthouseError
from nodeagent.moves.targets import There
with DirectoryService.connect() as directory:
    mailbox = directory.mailboxes.find(sys.argv[1])
try:
    There(mailbox, "two", sys.argv[2], sys.argv[3]).require()
except PosthouseError as error:
    print(error.key)
"""


def refusal(node: Node, owner: Node, address: str) -> str:
    """What the owner's receiver tells `node`; empty: it may."""
    words = ("/opt/posthouse/bin/python", "-c", _ASK, address, owner.name, owner.address)
    return node.run(*words, timeout=30).stdout.strip()


@pytest.mark.slow
def test_an_owner_that_dies_before_the_switch_leaves_the_mailbox_where_it_was(pair: Pair) -> None:
    pair.make("early@load.test", letters=40)
    before, source, target = letters(ADDRESS, "early@load.test"), pair.owner(GROUP), pair.owner(TWO)
    with stopped(target), ThreadPoolExecutor(1) as pool:
        said = pool.submit(attempt, pair, "early@load.test", pair.bystander())
        wait_until("the move is at work", lambda: "move-" in units(source), timeout=30)
        source.kill()
        wait_until("somebody else has the group", lambda: pair.owner(GROUP) is not source, timeout=90)
    assert said.result() != 0
    assert pair.shown("early@load.test")["group"] == GROUP
    pair.cluster.recover()
    assert letters(ADDRESS, "early@load.test") == before
    pair.apart()
    pair.move("early@load.test", TWO)
    assert letters(TWO_ADDRESS, "early@load.test") == before


@pytest.mark.slow
def test_a_target_that_dies_in_the_middle_leaves_the_mailbox_where_it_was(pair: Pair) -> None:
    pair.make("middle@load.test", letters=40)
    before, target = snapshot(ADDRESS, "middle@load.test"), pair.owner(TWO)
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(attempt, pair, "middle@load.test", pair.owner(GROUP))
        wait_until("it is being copied", lambda: "receive-" in units(target) or said.done(), timeout=30, every=0.02)
        target.kill()
    if said.result() != 0:
        assert snapshot(ADDRESS, "middle@load.test") == before
        pair.apart()
        assert attempt(pair, "middle@load.test", pair.bystander()) == 0
    pair.cluster.recover()
    assert snapshot(TWO_ADDRESS, "middle@load.test") == before


@pytest.mark.slow
def test_an_owner_that_dies_right_after_the_switch_leaves_the_mailbox_at_the_target(pair: Pair) -> None:
    pair.make("late@load.test", letters=40)
    before, source = snapshot(ADDRESS, "late@load.test"), pair.owner(GROUP)
    place = pair.shown("late@load.test")["path"]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(attempt, pair, "late@load.test", pair.bystander())
        wait_until("it is switched", lambda: pair.shown("late@load.test")["group"] == TWO, timeout=60, every=0.02)
        source.kill()
        wait_until("somebody else has the group", lambda: pair.owner(GROUP) is not source, timeout=90)
    assert pair.shown("late@load.test")["group"] == TWO
    pair.cluster.recover()
    assert snapshot(TWO_ADDRESS, "late@load.test") == before
    home = pair.disks[GROUP].path_on(pair.owner(GROUP)) / place
    wait_until("the old copy is removed by itself", lambda: not home.exists(), timeout=60)


def attempt(pair: Pair, address: str, on: Node) -> int:
    """Move it to the group two; the command's exit status, or that of a command that was cut off with its node."""
    try:
        return on.run("posthouse", "mailbox", "move", address, TWO, check=False, timeout=150).returncode
    except subprocess.TimeoutExpired:
        return -1


def units(node: Node) -> str:
    """What works on mailboxes there."""
    listed = ("systemctl", "list-units", "--plain", "--no-legend", "--all", "posthouse-work-*")
    return node.run(*listed, check=False, timeout=10).stdout


class stopped:
    """The node takes mailboxes in, and then says nothing."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __enter__(self) -> None:
        self._node.run("systemctl", "kill", "--signal", "STOP", "posthouse-moves")

    def __exit__(self, *_: object) -> None:
        self._node.run("systemctl", "kill", "--signal", "CONT", "posthouse-moves")
