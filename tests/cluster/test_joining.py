"""Servers become a cluster: who gets in, who does not, and what is there when one is lost."""

from __future__ import annotations

from functools import partial

from tests.cluster.conftest import DOMAIN, PASSWORD
from tests.lab import Node
from tests.lab.appliance import create_mailbox, wait_healthy

Trio = tuple[Node, Node, Node]
SOCKET = "ldapi://%2Frun%2Fposthouse%2Flocal%2Fslapd%2Fldapi"


def replica_has(node: Node, address: str) -> bool:
    """Whether the node's own replica has the mailbox."""
    words = ("-LLL", "-Q", "-Y", "EXTERNAL", "-H", SOCKET, "-b", "ou=domains,o=posthouse", f"mail={address}", "dn")
    said = node.run("ldapsearch", *words, check=False)
    return said.returncode == 0 and "dn:" in said.stdout


def voters(node: Node) -> list[str]:
    """The store's endpoints as node.yaml has them."""
    lines = node.run("cat", "/etc/posthouse/node.yaml").stdout.splitlines()
    return sorted(line.strip("- ") for line in lines if ":2379" in line)


def knows(node: Node, expected: list[str]) -> bool:
    return voters(node) == expected


def test_every_node_knows_the_three_voters_and_holds_the_directory(three_nodes: Trio) -> None:
    expected = sorted(f"https://{node.address}:2379" for node in three_nodes)
    for node in three_nodes:
        node.wait_until("knows the voters", partial(knows, node, expected))
        node.wait_until("has what was before", partial(replica_has, node, f"first@{DOMAIN}"))
        assert node.active("posthouse-controller.service")
        assert node.active("posthouse-join.service")


def test_a_mailbox_made_anywhere_is_everywhere(three_nodes: Trio) -> None:
    for number, maker in enumerate(three_nodes):
        address = f"made{number}@{DOMAIN}"
        create_mailbox(maker, address, PASSWORD)
        for node in three_nodes:
            node.wait_until(f"has {address}", partial(replica_has, node, address), every=0.05)


def test_a_lost_node_costs_neither_the_store_nor_the_directory(three_nodes: Trio) -> None:
    lost, maker, other = three_nodes
    lost.kill()
    address = f"without-one@{DOMAIN}"
    create_mailbox(maker, address, PASSWORD)
    assert replica_has(maker, address)
    other.wait_until("has it", lambda: replica_has(other, address), every=0.05)
    lost.boot()
    lost.wait_until("caught up", lambda: replica_has(lost, address), timeout=60)
    wait_healthy(lost, timeout=90)


def test_without_a_majority_nothing_is_written_and_what_is_there_is_read(three_nodes: Trio) -> None:
    left, *lost = three_nodes
    for node in lost:
        node.kill()
    made = left.run("posthouse", "mailbox", "create", f"alone@{DOMAIN}", "--password-stdin", input=f"{PASSWORD}\n",
                    check=False)  # fmt: skip
    assert made.returncode == 75, made
    assert f"first@{DOMAIN}" in left.run("posthouse", "mailbox", "list").stdout
    for node in lost:
        node.launch()
    for node in lost:
        node.wait_booted()

    def works() -> bool:
        words = ("posthouse", "mailbox", "create", f"again@{DOMAIN}", "--password-stdin")
        return left.run(*words, input=f"{PASSWORD}\n", check=False).returncode in (0, 4)

    left.wait_until("takes changes again", works, timeout=60, every=1)
    assert not replica_has(left, f"alone@{DOMAIN}")
