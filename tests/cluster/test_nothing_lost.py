"""Every message that was answered 250 is in a mailbox, whatever is killed in the middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from tests.lab import Node
from tests.lab.appliance import wait_healthy
from tests.load.auditors import Finding, audit, delivered
from tests.load.senders import Ledger, Senders

QUEUE = ("postqueue", "-c", "/var/lib/posthouse/engines/postfix@mail/current", "-j")
FLUSH = ("postqueue", "-c", "/var/lib/posthouse/engines/postfix@mail/current", "-f")
#: How many deliveries can be between mailbox and queue at the moment of a kill.
IN_FLIGHT = 100

Loaded = tuple[Node, Mapping[str, str]]


def queue_is_empty(node: Node) -> bool:
    """Nothing waits; what was deferred is tried at once, as after a takeover."""
    waiting = node.run(*QUEUE).stdout.strip()
    if waiting:
        node.run(*FLUSH)
    return not waiting


def settle(node: Node, accounts: Mapping[str, str], ledger: Ledger, *, timeout: float = 90.0) -> Finding:
    """Wait until the node is healthy and its queue empty, then audit."""
    wait_healthy(node, timeout=timeout)
    node.wait_until("the queue is empty", lambda: queue_is_empty(node), timeout=timeout, every=0.5)
    found: Counter[str] = delivered(node.address, accounts)
    return audit(ledger, found)


def main_pid(node: Node, unit: str) -> str:
    return node.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip()


def kill_unit(node: Node, unit: str) -> None:
    """kill -9 of every process of the unit at once."""
    node.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=all", unit)


@pytest.mark.timeout(420)
def test_every_250_survives_killing_postfix_dovecot_the_agent_and_the_whole_node(loaded_node: Loaded) -> None:
    node, accounts = loaded_node
    senders = Senders(node.address, list(accounts), each=500, senders=4).start()

    def after(count: int) -> None:
        node.wait_until(f"{count} accepted", lambda: senders.accepted >= count, timeout=120)

    after(200)
    kill_unit(node, "posthouse-postfix@mail.service")
    after(500)
    kill_unit(node, "posthouse-dovecot@mail.service")
    after(800)
    before = main_pid(node, "posthouse-postfix@mail.service")
    kill_unit(node, "posthouse-agent.service")
    after(1000)
    assert main_pid(node, "posthouse-postfix@mail.service") == before, "killing the agent touched running mail"
    kill_unit(node, "posthouse-keeper.service")
    after(1200)
    assert main_pid(node, "posthouse-postfix@mail.service") == before, "killing the keeper touched running mail"
    node.kill()
    node.boot()
    ledger = senders.finish(timeout=180)
    finding = settle(node, accounts, ledger)

    print(
        f"\naccepted {len(ledger.accepted)}, delivered {finding.delivered}, duplicates {len(finding.duplicates)}, "
        f"answers lost {len(ledger.unsure)}, temporary refusals {ledger.refused_for_now}"
    )
    assert not ledger.refused_for_good
    assert len(ledger.accepted) == 2000
    assert not finding.lost
    assert len(finding.duplicates) <= IN_FLIGHT


def test_a_quiet_run_delivers_each_message_exactly_once(loaded_node: Loaded) -> None:
    node, accounts = loaded_node
    ledger = Senders(node.address, list(accounts), each=100).start().finish(timeout=90)
    finding = settle(node, accounts, ledger)
    assert finding.delivered == 400
    assert not finding.lost
    assert not finding.duplicates


@pytest.mark.timeout(300)
@pytest.mark.parametrize("away", ["stopped", "frozen"])
def test_a_directory_that_is_away_for_30_s_costs_only_time(loaded_node: Loaded, away: str) -> None:
    node, accounts = loaded_node
    senders = Senders(node.address, list(accounts), each=150, senders=2).start()
    node.wait_until("load flows", lambda: senders.accepted >= 50)
    if away == "stopped":
        node.run("posthouse", "service", "stop", "slapd@local")
        node.run("sleep", "30")
        node.run("posthouse", "service", "start", "slapd@local", timeout=90)
    else:
        pid = main_pid(node, "posthouse-slapd@local.service")
        node.run("kill", "-STOP", pid)
        node.run("sleep", "30")
        node.run("kill", "-CONT", pid, check=False)  # the agent may have ended the hung one already
    ledger = senders.finish(timeout=180)
    # a delivery whose question the old slapd took with it waits for Dovecot's own limit (155 s, auth-master.c)
    finding = settle(node, accounts, ledger, timeout=170)
    assert not ledger.refused_for_good
    assert len(ledger.accepted) == 300
    assert not finding.lost


@pytest.mark.timeout(300)
def test_a_full_volume_means_temporary_errors_and_no_loss(loaded_node: Loaded) -> None:
    node, accounts = loaded_node
    volume = "/srv/posthouse/mail"
    node.run("posthouse", "service", "stop", "postfix@mail")
    node.run("posthouse", "service", "stop", "dovecot@mail")
    node.run("sh", "-c", f"cp -a {volume} /root/kept && mount -t tmpfs -o size=200m,mode=755 tmpfs {volume}"
             f" && cp -a /root/kept/. {volume}/")  # fmt: skip
    node.run("posthouse", "service", "start", "dovecot@mail", timeout=90)
    node.run("posthouse", "service", "start", "postfix@mail", timeout=90)

    senders = Senders(node.address, list(accounts), each=100, senders=2, size=20_000).start()
    node.wait_until("load flows", lambda: senders.accepted >= 20)
    node.run("sh", "-c", f"dd if=/dev/zero of={volume}/filler bs=1M 2>/dev/null; true")
    node.wait_until("senders are put off", lambda: senders.ledger.refused_for_now >= 3, timeout=60)
    assert node.run("posthouse", "status", check=False).stdout
    node.run("rm", f"{volume}/filler")

    ledger = senders.finish(timeout=120)
    finding = settle(node, accounts, ledger)
    assert not ledger.refused_for_good
    assert len(ledger.accepted) == 200
    assert not finding.lost


def inbox_of(node: Node) -> str:
    """The one Maildir/cur on the node."""
    return node.run(
        "sh", "-c", 'find /srv/posthouse/mail/mailboxes -type d -path "*Maildir/cur" | head -1'
    ).stdout.strip()


def test_foreign_and_broken_files_in_a_maildir_do_no_harm(loaded_node: Loaded) -> None:
    node, accounts = loaded_node
    address = next(iter(accounts))
    account = {address: accounts[address]}
    first = Senders(node.address, [address], each=5, senders=1).start().finish(timeout=60)
    settle(node, account, first)
    maildir = inbox_of(node)
    node.run(
        "sh", "-c",
        f"cd {maildir} && printf 'no header at all' > garbage && : > 1700000000.M1P1.empty:2,S && "
        "printf '\\000\\001\\377' > 1700000001.M1P1.binary:2, && mkdir a-folder && "
        "chown -h vmail:vmail * && printf x > ../dovecot-uidlist",
    )  # fmt: skip
    second = Senders(node.address, [address], each=5, senders=1).start().finish(timeout=60)
    assert not audit(first, delivered(node.address, account)).lost
    assert not settle(node, account, second).lost


def test_a_file_that_nobody_may_read_stops_no_mail(loaded_node: Loaded) -> None:
    node, accounts = loaded_node
    address = next(iter(accounts))
    account = {address: accounts[address]}
    settle(node, account, Senders(node.address, [address], each=2, senders=1).start().finish(timeout=60))
    inbox = inbox_of(node)
    intruder = f"{inbox}/1700000003.M1P1.root:2,"
    # nor when the mailbox is counted anew
    node.run(
        "sh", "-c",
        f"printf 'Subject: x\n\nx\n' > '{intruder}' && chmod 600 '{intruder}' && rm -f {inbox}/../maildirsize",
    )  # fmt: skip
    ledger = Senders(node.address, [address], each=3, senders=1).start().finish(timeout=60)
    node.wait_until("the queue is empty", lambda: not node.run(*QUEUE).stdout.strip(), timeout=20, every=0.3)
    assert len(ledger.accepted) == 3
    assert not ledger.refused_for_now
    assert not ledger.refused_for_good
    node.run("chown", "vmail:vmail", intruder)
    assert not settle(node, account, ledger).lost
