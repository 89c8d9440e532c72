"""The stage: a lab with the two nodes, and the accounts on each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from appliance.directory import schema
from tests.bench import bare
from tests.bench.accounts import CHEAP, Person, domain_entry, posthouse_entries
from tests.bench.side import Side
from tests.lab import Lab, Node
from tests.lab.appliance import initialise

VOLUME = "/srv/posthouse/mail"
SPOOL = f"{VOLUME}/postfix/spool"
DOVECOT = "posthouse-dovecot@mail.service"
POSTFIX = "posthouse-postfix@mail.service"
SLAPD = "posthouse-slapd@local.service"
AGENT = "posthouse-agent.service"
KEEPER = "posthouse-keeper.service"

_started = time.monotonic()


def say(text: str) -> None:
    """Tell how far it is, with the seconds since the start."""
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", flush=True)


@contextmanager
def lab() -> Iterator[Lab]:
    """A lab for the block."""
    with Lab.opened() as made:
        yield made


def posthouse(made: Lab) -> Side:
    """Boot a node and make it a Posthouse server."""
    say("booting and initialising Posthouse")
    node = made.node("posthouse").boot()
    initialise(node)
    return Side("posthouse", node, posthouse_home, SPOOL)


def posthouse_home(person: Person) -> str:
    """Where the account's mail lies."""
    return f"{VOLUME}/{person.path}"


def bare_side(made: Lab) -> Side:
    """Boot a node on which nothing of ours runs."""
    say("booting the bare node")
    node = made.node("bare").boot()
    return Side("bare", node, bare.home, bare.SPOOL)


def add_accounts(node: Node, accounts: Sequence[Person], password: str = CHEAP, *, domain: bool = True) -> None:
    """Write accounts into a Posthouse node's directory while it serves."""
    entries = [domain_entry()] if domain else []
    ldif = "\n".join([*entries, *posthouse_entries(accounts, password)])
    node.run("ldapadd", "-Q", "-Y", "EXTERNAL", "-H", schema.URI, input=ldif, timeout=300)
