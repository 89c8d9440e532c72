"""Which nodes take the directory's writes, and which may administer it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from appliance.directory import replicas


def node(name: str, number: int | None, *roles: Role, address: str | None = "10.0.0.1") -> Node:
    return Node(
        name=NodeName(name),
        roles=frozenset(roles),
        number=number,
        address=ip_address(address) if address else None,
    )


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param([node("a", 3, Role.DIRECTORY), node("b", 1, Role.DIRECTORY)], ["b", "a"], id="by-number"),
        pytest.param([node(f"n{n}", n, Role.DIRECTORY) for n in (5, 2, 9, 7)], ["n2", "n5", "n7"], id="three-at-most"),
        pytest.param([node("a", 1, Role.STORE, Role.EDGE), node("b", 2, Role.WITNESS)], [], id="other-roles"),
        pytest.param([node("a", None, Role.DIRECTORY, address=None)], [], id="a-server-alone"),
    ],
)
def test_the_first_directory_nodes_take_writes(nodes: list[Node], expected: list[str]) -> None:
    assert [each.name for each in replicas.providers({each.name: each for each in nodes})] == expected


def test_only_nodes_that_administer_may_write() -> None:
    nodes = [node("c", 1, Role.CONTROL), node("d", 2, Role.DIRECTORY), node("e", 3, Role.EDGE), node("w", 4, Role.WEB)]
    assert replicas.administrators({each.name: each for each in nodes}) == ("c", "d", "w")


def test_addresses_and_server_ids_are_written_as_openldap_reads_them() -> None:
    assert replicas.url(ip_address("10.0.0.1")) == "ldaps://10.0.0.1:7636"
    assert replicas.url(ip_address("fd00::1")) == "ldaps://[fd00::1]:7636"
    assert replicas.server_id(node("a", 26)) == "01a"
