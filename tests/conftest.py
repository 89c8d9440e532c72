"""Fixtures of every kind of test that boots nodes. They cost nothing to those that do not ask for them.

Where several workers share the tests (`./run test integration`), each has a lab and a shared node of its own, and
the tests of one file stay together.

`lab`         the network, one for the whole run; the test process itself moves onto it
`fresh_node`  a booted node on which our package is installed and `posthouse init` has not run
`node`        one node that is initialised and healthy, shared by the whole run
`ca_file`     the certificate of that installation's own authority, for clients that verify TLS
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.lab import Lab, Node
from tests.lab.appliance import copy_ca, initialise
from tests.lab.lab import remove_stale

_numbers = itertools.count(1)

# The same examples in every run, so that what passed here passes elsewhere; POSTHOUSE_EXAMPLES=random draws afresh.
settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("random", settings.get_profile("default"))
settings.load_profile("random" if os.environ.get("POSTHOUSE_EXAMPLES") == "random" else "same")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Remove the lab of a worker (pytest-xdist) that died: its fixtures did not end, its nodes live on."""
    if error:
        remove_stale()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab. Sockets and clients started by tests reach `node.address`; 127.0.0.1 is the lab's own loopback."""
    with Lab.opened() as made, made.enter():
        yield made


@pytest.fixture
def fresh_node(lab: Lab) -> Iterator[Node]:
    """A booted node of its own, not initialised; gone after the test."""
    made = lab.node(f"fresh{next(_numbers)}")
    try:
        yield made.boot()
    finally:
        lab.remove_node(made)


@pytest.fixture(scope="session")
def node(lab: Lab) -> Node:
    """The shared node mail1.posthouse.test. Leave it healthy, and use mailbox names of your own."""
    made = lab.node("mail1").boot()
    initialise(made)
    return made


@pytest.fixture(scope="session")
def ca_file(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installation's authority, as a PEM file of this machine."""
    return copy_ca(node, tmp_path_factory.mktemp("pki") / "ca.crt")
