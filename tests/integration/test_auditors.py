"""The auditors are proved on what they must catch: two owners, lost and misplaced mail, made by hand on real nodes."""

from __future__ import annotations

import imaplib
import time
from collections.abc import Callable, Iterator

import pytest

from tests.lab import Lab, Node, wait_until
from tests.lab.appliance import create_domain, create_mailbox
from tests.lab.disk import SharedDisk
from tests.load.auditors import audit, audit_mailbox, delivered, whereabouts
from tests.load.outage import OutageWatch, Target
from tests.load.ownership import OwnershipAuditor, Watched
from tests.load.senders import Senders
from tests.load.workers import ImapWorker, Pop3Worker, insecure

VIRTUAL = "10.57.0.100"
PASSWORD = "correct-horse-battery-9"


@pytest.fixture(scope="module")
def two_in_a_lab() -> Iterator[Lab]:
    """A lab of their own: the run's shared node has engines of a group of the same name."""
    with Lab.opened() as made:
        yield made


@pytest.fixture(scope="module")
def owners(two_in_a_lab: Lab) -> Iterator[tuple[Node, Node, SharedDisk]]:
    """Two nodes without Posthouse's services, and a disk that both can mount: owners made by hand."""
    lab = two_in_a_lab
    disk = lab.disk("audited", megabytes=64)
    one, other = lab.node("owner1"), lab.node("owner2")
    for node in (one, other):
        disk.attach(node)
        node.boot()
    try:
        yield one, other, disk
    finally:
        for node in (one, other):
            lab.remove_node(node)
        lab.remove_disk(disk)


@pytest.fixture
def auditor(two_in_a_lab: Lab, owners: tuple[Node, Node, SharedDisk]) -> Iterator[OwnershipAuditor]:
    watching = OwnershipAuditor(two_in_a_lab, Watched("mail", (VIRTUAL, "fd57::100"), "audited")).start()
    yield watching
    watching.finish()
    for node in owners[:2]:
        node.run("sh", "-c", f"umount /mnt; ip address del {VIRTUAL}/32 dev eth0; systemctl stop held", check=False)


def take_volume(node: Node) -> None:
    # what a broken product would do: pass over the multi-mount protection of an owner that lives
    node.run("sh", "-c", "tune2fs -f -E clear_mmp /dev/audited && mount /dev/audited /mnt")


def take_volume_out_of_sight(node: Node) -> None:
    script = "tune2fs -f -E clear_mmp /dev/audited && mount /dev/audited /mnt && exec sleep 600"
    node.run("systemd-run", "--unit=held", "--property=PrivateMounts=yes", "sh", "-c", script)


def take_address(node: Node) -> None:
    node.run("ip", "address", "add", f"{VIRTUAL}/32", "dev", "eth0")


def run_engine(node: Node) -> None:
    node.run("systemd-run", "--unit=held", "--slice=posthouse-mail.slice", "sleep", "600")


def holds(auditor: OwnershipAuditor, node: Node) -> bool:
    last = {name: held for _, name, held in auditor.findings.changes}
    return bool(last.get(node.name))


@pytest.mark.parametrize("first", [take_volume, take_address, run_engine])
@pytest.mark.parametrize("second", [take_volume_out_of_sight, take_address, run_engine])
def test_two_owners_are_caught_whatever_each_of_them_holds(
    auditor: OwnershipAuditor,
    owners: tuple[Node, Node, SharedDisk],
    first: Callable[[Node], None],
    second: Callable[[Node], None],
) -> None:
    one, other, _ = owners
    first(one)
    wait_until("the first is seen", lambda: holds(auditor, one))
    assert not auditor.findings.violations
    second(other)
    wait_until("both are caught", lambda: auditor.findings.violations)
    assert set(auditor.findings.violations[0].held) == {"owner1", "owner2"}


def test_a_frozen_owner_counts_until_it_is_switched_off(
    auditor: OwnershipAuditor, owners: tuple[Node, Node, SharedDisk]
) -> None:
    one, other, disk = owners
    take_volume(one)
    take_address(one)
    run_engine(one)
    wait_until("it owns", lambda: holds(auditor, one))
    one.freeze()
    try:
        assert disk.is_mounted_on("owner1")
        one.kill()
        wait_until("it owns nothing", lambda: not holds(auditor, one))
        take_volume(other)
        take_address(other)
        wait_until("the other owns", lambda: holds(auditor, other))
    finally:
        one.boot()
    findings = auditor.finish()
    assert not findings.violations, findings.story()
    assert findings.looks > 10


@pytest.fixture(scope="module")
def people(node: Node) -> dict[str, str]:
    create_domain(node, "audit.test")
    accounts = {f"{name}@audit.test": PASSWORD for name in ("imap", "pop3", "post")}
    for address in accounts:
        create_mailbox(node, address, PASSWORD)
    return accounts


def test_load_on_a_healthy_node_leaves_nothing_to_find_and_what_is_spoiled_is_found(
    node: Node, people: dict[str, str]
) -> None:
    imap, pop3 = (
        ImapWorker(node.address, "imap@audit.test", PASSWORD),
        Pop3Worker(node.address, "pop3@audit.test", PASSWORD),
    )
    senders = Senders(node.address, ["pop3@audit.test", "post@audit.test"], senders=2, pause=0.05).start()
    for worker in (imap, pop3):
        worker.start()
    node.wait_until("enough was done", lambda: imap.done > 40 and pop3.done > 20 and senders.accepted > 60, timeout=60)
    ledger = senders.stop()
    node.wait_until("everything was fetched", lambda: queue_is_empty(node), timeout=30)
    for worker in (imap, pop3):
        worker.stop()

    posted = dict.fromkeys(("pop3@audit.test", "post@audit.test"), PASSWORD)
    assert not audit(ledger, delivered(node.address, posted), pop3.taken).lost
    assert audit(ledger, delivered(node.address, posted)).lost, "what was fetched is no longer there"
    assert not audit_mailbox(imap.ledger, whereabouts(node.address, "imap@audit.test", PASSWORD))
    assert not imap.refusals

    spoil(node, "post@audit.test", "INBOX")
    spoil(node, "imap@audit.test", "Done")
    assert len(audit(ledger, delivered(node.address, posted), pop3.taken).lost) == 1
    assert len(audit_mailbox(imap.ledger, whereabouts(node.address, "imap@audit.test", PASSWORD))) == 1


def queue_is_empty(node: Node) -> bool:
    return not node.run("postqueue", "-c", "/var/lib/posthouse/engines/postfix@mail/current", "-j").stdout.strip()


def spoil(node: Node, address: str, folder: str) -> None:
    """Delete one message behind everybody's back."""
    with imaplib.IMAP4_SSL(node.address, ssl_context=insecure(), timeout=20) as session:
        session.login(address, PASSWORD)
        session.select(folder)
        session.store("1", "+FLAGS", r"(\Deleted)")
        session.expunge()


def test_an_outage_is_measured_as_clients_feel_it(node: Node, people: dict[str, str]) -> None:
    watch = OutageWatch(Target(node.address, "post@audit.test", PASSWORD)).start()
    try:
        began = time.monotonic()
        node.freeze()
        time.sleep(1.5)  # the outage itself
        node.thaw()
        watch.wait_served(time.monotonic())
    finally:
        node.thaw()
        watch.finish()
    for protocol in ("smtp", "imap"):
        assert watch.outage(protocol, began) >= 1.5
        assert watch.outage(protocol, time.monotonic()) == 0.0
