"""Fixtures of the tests with real mail programs.

`mail`  the shared node with the domain clients.test
`desk`  a computer of its own for each test
`wang`, `li`  two people with fresh mailboxes for each test
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.integration.clients.desk import Desk
from tests.integration.mail_clients import PASSWORD, Account, MailNode, mail_node
from tests.lab import Node

DOMAIN = "clients.test"
_AT_ONCE = 100


@pytest.fixture(scope="session")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, DOMAIN) as made:
        yield made


@pytest.fixture
def desk(node: Node, ca_file: Path, tmp_path: Path) -> Desk:
    return Desk(tmp_path, node.hostname, node.address, ca_file)


@pytest.fixture(scope="session")
def newcomers(mail: MailNode) -> Iterator[Account]:
    """People with empty mailboxes, as many as are asked for; made a hundred at a time, which is quicker."""
    return _newcomers(mail)


def _newcomers(mail: MailNode) -> Iterator[Account]:
    hashed = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD)
    for start in itertools.count(1, _AT_ONCE):
        made = [Account(f"person{start + each}@{DOMAIN}") for each in range(_AT_ONCE)]
        file = mail.node.root / "root/newcomers.csv"
        file.touch(mode=0o600)
        file.write_text(
            "address,password_hash\n" + "".join(f'{each.address},"{{ARGON2ID}}{hashed}"\n' for each in made)
        )
        mail.node.run("posthouse", "mailbox", "import", "/root/newcomers.csv")
        file.unlink()
        yield from made


@pytest.fixture
def wang(newcomers: Iterator[Account]) -> Account:
    return next(newcomers)


@pytest.fixture
def li(newcomers: Iterator[Account]) -> Account:
    return next(newcomers)
