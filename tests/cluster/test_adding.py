"""A server is added to a cluster that serves, and taken out again: nobody at a mailbox notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.faults import DOVECOT, POSTFIX
from tests.cluster.proof import Seen, proof
from tests.cluster.shared import PEOPLE, owners, serving
from tests.cluster.test_upgrade import main_pids
from tests.lab import Lab, Node
from tests.lab.appliance import join
from tests.lab.cluster import GROUP, NAMES, Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def cluster(lab: Lab) -> Iterator[Cluster]:
    """Two nodes that serve; the third has its cables to disk and switch, and Posthouse's package, and nothing more."""
    with serving(lab, NAMES[:2]) as made:
        yield made


def boot_third(cluster: Cluster) -> Node:
    third = cluster.lab.node(NAMES[2])
    cluster.disk.attach(third)
    cluster.fence.attach(third)
    third.boot()
    return third


def cut_off(seen: Seen) -> list[str]:
    """What people at their mailboxes saw go wrong. (Senders may be put off: a directory that learns of another one
    starts anew, and for as long as that takes no recipient is known.)"""
    return [*seen.load.imap.refusals, *seen.load.pop3.refusals]


def test_a_server_is_added_under_load_serves_and_is_removed_and_nobody_is_cut_off(cluster: Cluster) -> None:
    owner, third = cluster.the_owner(), boot_third(cluster)
    running, had = main_pids(owner, POSTFIX, DOVECOT), owners(cluster)
    with proof(cluster, PEOPLE) as seen:
        join(cluster.nodes[0], third)
        cluster.nodes = (*cluster.nodes, third)
        cluster.set_fence(third)
        cluster.ask("group", "set", GROUP, *(word for node in cluster.nodes for word in ("--candidate", node.name)))
        cluster.wait_whole()
        third.wait_until("is a standby", lambda: GROUP in standby_for(cluster, third))
        assert not cut_off(seen)
        assert (main_pids(owner, POSTFIX, DOVECOT), owners(cluster)) == (running, had)

        cluster.ask("group", "move", GROUP, third.name)  # it can do what it was added for
        cluster.wait_whole()
        assert cluster.owner() is third
        cluster.ask("node", "drain", third.name, timeout=330)
        owner = cluster.the_owner()
        seen.load.wait_flowing()
        seen_before, running = cut_off(seen), main_pids(owner, POSTFIX, DOVECOT)
        cluster.ask("group", "set", GROUP, *(word for node in cluster.nodes[:2] for word in ("--candidate", node.name)))
        cluster.nodes[0].run("posthouse", "cluster", "remove", third.name, "--yes", timeout=120)
        third.kill()
        cluster.nodes = cluster.nodes[:2]
        cluster.wait_whole()
        seen.load.wait_flowing()
        assert (cut_off(seen), main_pids(owner, POSTFIX, DOVECOT)) == (seen_before, running)


def standby_for(cluster: Cluster, node: Node) -> list[str]:
    """The groups that a node could take at once, by the cluster's word."""
    found = next(each for each in cluster.status()["nodes"] if each["name"] == node.name)
    groups: list[str] = found["standby"]
    return groups
