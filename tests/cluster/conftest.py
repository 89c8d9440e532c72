"""Cluster tests: several nodes, or one under load with things failing. Each takes the nodes it needs from `lab`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.lab import Lab, Node
from tests.lab.appliance import create_domain, create_mailbox, initialise, initialise_cluster

PASSWORD = "correct-horse-battery-9"
DOMAIN = "load.test"
#: Minutes of a random walk where none was asked for.
SHORT_WALK = 0.5


@pytest.fixture
def loaded_node(lab: Lab) -> Iterator[tuple[Node, Mapping[str, str]]]:
    """An initialised node of its own with four mailboxes; gives it and address -> password."""
    node = lab.node("loaded").boot()
    try:
        initialise(node)
        create_domain(node, DOMAIN)
        accounts = {f"user{number}@{DOMAIN}": PASSWORD for number in range(4)}
        for address, password in accounts.items():
            create_mailbox(node, address, password)
        yield node, accounts
    finally:
        lab.remove_node(node)


@pytest.fixture(scope="module")
def three_nodes(lab: Lab) -> Iterator[tuple[Node, Node, Node]]:
    """A cluster of three nodes with all roles, of the module's own; a domain was there before the others joined."""
    first, *others = (lab.node(name) for name in ("one", "two", "three"))
    nodes = (first, *others)
    try:
        for node in nodes:
            node.launch()
        for node in nodes:
            node.wait_booted()
        initialise(first)
        create_domain(first, DOMAIN)
        create_mailbox(first, f"first@{DOMAIN}", PASSWORD)
        initialise_cluster(nodes)
        yield first, others[0], others[1]
    finally:
        for node in nodes:
            lab.remove_node(node)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow`, `--chaos` and `--seed`, as `./run test cluster` hands them on."""
    options = parser.getgroup("faults")
    options.addoption("--slow", action="store_true", help="also the faults that are left out of CI")
    options.addoption("--chaos", type=float, metavar="MINUTES", help="only a random walk over all faults, so long")
    options.addoption("--seed", type=int, default=1, metavar="N", help="of the random walk")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow, or everything but the random walk."""

    def wanted(item: pytest.Item) -> bool:
        if config.getoption("--chaos"):
            return "chaos" in getattr(item, "fixturenames", ())
        return bool(config.getoption("--slow")) or item.get_closest_marker("slow") is None

    left_out = [item for item in items if not wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if wanted(item)]


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> tuple[float, int]:
    """For how many minutes the random walk goes, and its seed."""
    return request.config.getoption("--chaos") or SHORT_WALK, request.config.getoption("--seed")
