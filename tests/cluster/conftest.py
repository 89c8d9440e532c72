"""Cluster tests: several nodes, or one under load with things failing. Each takes the nodes it needs from `lab`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.lab import Lab, Node
from tests.lab.appliance import create_domain, create_mailbox, initialise

PASSWORD = "correct-horse-battery-9"
DOMAIN = "load.test"


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
