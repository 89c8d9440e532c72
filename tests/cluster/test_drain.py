"""Nodes that an operator wants empty: what they keep, what they get, and that it stays so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.proof import proof
from tests.cluster.shared import PEOPLE, owners, serving
from tests.lab import Lab, Node, wait_until
from tests.lab.cluster import GROUP, Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def made(lab: Lab) -> Iterator[Cluster]:
    with serving(lab) as cluster:
        yield cluster


@pytest.fixture
def cluster(made: Cluster) -> Iterator[Cluster]:
    """The cluster, whole and with no node drained; so again after the test."""
    made.mend()
    made.wait_whole()
    yield made
    made.mend()
    for node in made.nodes:
        made.ask("node", "resume", node.name)


def line(cluster: Cluster, node: Node) -> dict[str, Any]:
    """The node's line of `posthouse cluster status`."""
    found: dict[str, Any] = next(each for each in cluster.status()["nodes"] if each["name"] == node.name)
    return found


def drain(cluster: Cluster, node: Node) -> None:
    cluster.ask("node", "drain", node.name, timeout=330)


def test_the_node_that_owns_the_group_and_leads_is_drained_under_load(cluster: Cluster) -> None:
    owner, had = cluster.the_owner(), owners(cluster)
    with proof(cluster, PEOPLE):
        drain(cluster, owner)
        assert cluster.owner() not in (None, owner)
        drain(cluster, owner)  # once more changes nothing
        cluster.ask("node", "resume", owner.name)
        cluster.wait_whole()
    assert len(owners(cluster)) == len(had) + 1


def test_a_drained_node_stays_so_over_a_reboot_and_takes_nothing(cluster: Cluster) -> None:
    owner = cluster.the_owner()
    drained, other = cluster.others(owner)
    drain(cluster, drained)
    drained.shutdown()
    drained.boot()
    cluster.wait_whole()
    assert line(cluster, drained)["drained"]
    owner.kill()
    wait_until("another node owns it", lambda: cluster.owner() not in (None, owner), timeout=60,
               explain=cluster.last_words)  # fmt: skip
    assert cluster.owner() is other


def test_the_last_node_that_can_own_a_group_keeps_it_and_says_so(cluster: Cluster) -> None:
    owner = cluster.the_owner()
    for node in cluster.others(owner):
        drain(cluster, node)
    for _ in range(2):
        said = cluster.answering().run("posthouse", "node", "drain", owner.name, check=False)
        assert said.returncode == 1
        assert GROUP in said.stderr
    assert cluster.owner() is owner
    cluster.wait_whole()
    back = cluster.others(owner)[0]
    cluster.ask("node", "resume", back.name)
    wait_until("who is resumed gets it", lambda: cluster.owner() is back, timeout=60, explain=cluster.last_words)
