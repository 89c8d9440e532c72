"""A release is followed by the next one, node by node, while mail flows; two releases work side by side meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.faults import AGENT, CONTROLLER, DOVECOT, ETCD, KEEPER, POSTFIX, SLAPD
from tests.cluster.proof import proof
from tests.cluster.shared import PEOPLE, owners, serving
from tests.lab import Lab, Node
from tests.lab.appliance import status
from tests.lab.cluster import GROUP, Cluster
from tests.lab.host import command
from tests.lab.next_release import Release, apt_install, built, following

#: Packages of the engines, and those that hook themselves into one of them when they are installed.
ENGINES = ("postfix", "postfix-cdb", "postfix-ldap", "postfix-pcre", "dovecot-core", "dovecot-imapd", "slapd",
           "etcd-server")  # fmt: skip

#: A thread on this machine's network: it is there before the tests' own one moves onto the lab's, which leads nowhere.
_OUTSIDE = ThreadPoolExecutor(1)
_OUTSIDE.submit(command, "true").result()


@pytest.fixture(scope="module")
def made(lab: Lab) -> Iterator[Cluster]:
    with serving(lab) as cluster:
        yield cluster


@pytest.fixture
def cluster(made: Cluster) -> Cluster:
    """Three nodes of the release under test: those that an earlier test has upgraded go back."""
    made.wait_whole()
    for node in made.nodes:
        if not runs(node, built()):
            upgrade(made, node, built())
    return made


def main_pids(node: Node, *units: str) -> dict[str, str]:
    return {unit: node.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip() for unit in units}


def keeper(node: Node) -> dict[str, Any]:
    """What the node's keeper says of itself."""
    said: dict[str, Any] = json.loads(node.run("cat", "/run/posthouse/keeper.json").stdout)
    return said


def runs(node: Node, release: Release) -> bool:
    """Whether agent and keeper are of that release."""
    return (status(node).get("release"), keeper(node)["release"]) == (release.version, release.version)


def warned(node: Node) -> bool:
    """Whether the node tells that its keeper is of another release."""
    return "keeper-older" in {warning["key"] for warning in status(node).get("warnings", ())}


def releases(node: Node) -> dict[str, str]:
    """Every node's release, as one of them knows it; the cluster is well."""
    said = json.loads(node.run("posthouse", "cluster", "status", "--json").stdout)
    assert said["healthy"], said
    return {each["name"]: each["release"] for each in said["nodes"]}


def upgrade(cluster: Cluster, node: Node, release: Release) -> int:
    """What an operator does to one node; return how many times the group moved."""
    before = len(owners(cluster))
    cluster.ask("node", "drain", node.name, timeout=330)
    release.install(node)
    node.wait_until(f"runs {release.version}", partial(runs, node, release))
    cluster.ask("node", "resume", node.name)
    cluster.wait_whole()
    return len(owners(cluster)) - before


@pytest.mark.timeout(420)
def test_an_upgraded_node_and_one_that_is_not_give_a_group_to_each_other_under_load(cluster: Cluster) -> None:
    old = cluster.the_owner()
    new, other = cluster.others(old)
    with proof(cluster, PEOPLE) as seen:
        assert upgrade(cluster, new, following()) == 0
        for goal in (new, old):
            cluster.ask("group", "move", GROUP, goal.name)
            cluster.wait_whole()
            assert cluster.owner() is goal
            seen.load.wait_flowing()
        expected = {new.name: following().version, old.name: built().version, other.name: built().version}
        for node in cluster.nodes:  # whoever is asked understands what the others wrote
            assert releases(node) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rolling_upgrade_under_load_moves_a_group_once(cluster: Cluster) -> None:
    owner = cluster.the_owner()
    with proof(cluster, PEOPLE) as seen:
        moves = []
        for node in (*cluster.others(owner), owner):
            moves.append(upgrade(cluster, node, following()))
            seen.load.wait_flowing()
    assert moves == [0, 0, 1]
    assert set(releases(owner).values()) == {following().version}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_owner_that_is_upgraded_keeps_its_group_and_its_keeper_follows_when_it_is_drained(cluster: Cluster) -> None:
    owner, kept, replaced = cluster.the_owner(), (KEEPER, POSTFIX, DOVECOT, ETCD, SLAPD), (AGENT, CONTROLLER)
    with proof(cluster, PEOPLE) as seen:
        before, had = main_pids(owner, *kept, *replaced), owners(cluster)
        following().install(owner)
        owner.wait_until("tells that its keeper is older", partial(warned, owner))
        after = main_pids(owner, *kept, *replaced)
        assert {unit: after[unit] for unit in kept} == {unit: before[unit] for unit in kept}
        assert not {after[unit] for unit in replaced} & {before[unit] for unit in replaced}
        cluster.wait_whole()
        seen.load.wait_flowing()
        assert owners(cluster) == had
        cluster.ask("node", "drain", owner.name, timeout=330)
        owner.wait_until("its keeper follows", partial(runs, owner, following()))
        owner.wait_until("nothing is told any more", lambda: not warned(owner))
        cluster.ask("node", "resume", owner.name)
    assert len(owners(cluster)) == len(had) + 1


@pytest.fixture(scope="module")
def debians_packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The engines' packages, from Debian."""
    folder = tmp_path_factory.mktemp("debian")
    download = f"cd {folder} && apt-get --quiet download {' '.join(ENGINES)}"
    _OUTSIDE.submit(command, "sh", "-c", download, timeout=120).result()
    return sorted(folder.glob("*.deb"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_debians_own_updates_start_nothing_and_restart_nothing_of_ours(
    cluster: Cluster, debians_packages: list[Path]
) -> None:
    owner, units = cluster.the_owner(), (KEEPER, AGENT, POSTFIX, DOVECOT, SLAPD, ETCD)
    files = ("md5sum", "/etc/postfix/main.cf", "/etc/default/etcd")
    running = ("systemctl", "list-units", "--plain", "--no-legend", "--state=active", "*.service")
    with proof(cluster, PEOPLE) as seen:
        before = main_pids(owner, *units), owner.run(*files).stdout, owner.run(*running).stdout
        for package in debians_packages:
            shutil.copy(package, owner.root / "root" / package.name)
        apt_install(owner, *(f"/root/{package.name}" for package in debians_packages))
        cluster.wait_whole()
        seen.load.wait_flowing()
        assert (main_pids(owner, *units), owner.run(*files).stdout, owner.run(*running).stdout) == before
