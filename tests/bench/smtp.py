"""The SMTP load: Postfix's smtp-source(1), which costs a tenth of what any Python client would.

It runs in another node's network, so that its mail comes from outside, and outside
that node's control group, so that its processor time is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.accounts import DOMAIN, Person
from tests.bench.side import Meter, Side
from tests.lab import LabError, Node
from tests.lab.polling import wait_until

_SEND_WITHIN = 300.0


@dataclass(frozen=True)
class Load:
    """`messages` of `size` bytes over `sessions` connections at once; `keep`: many over each connection."""

    sessions: int
    messages: int
    keep: bool
    size: int = 10240


def flow(load: Load, client: Node, server: Side, accounts: list[Person]) -> Meter:
    """Send, and wait until every message is in its mailbox. One message to each account in turn.

    Raises LabError when a message is not in a mailbox afterwards.
    """
    before = server.delivered(accounts)
    with server.metered() as meter:
        client.run(*_words(load, server.node), timeout=_SEND_WITHIN)
        wait_until("queue empty", lambda: server.queued() == 0, timeout=_SEND_WITHIN, every=0.005)
    arrived = server.delivered(accounts) - before
    if arrived != load.messages:
        raise LabError(
            f"{server.name}: {arrived} of {load.messages} messages arrived, {server.deferred()} are deferred\n"
            f"{server.node.last_words()}"
        )
    return meter


def _words(load: Load, target: Node) -> list[str]:
    keep = ["-d"] if load.keep else []
    counts = ["-s", str(load.sessions), "-m", str(load.messages), "-l", str(load.size)]
    # -N: 1user@, 2user@, …
    people = ["-N", "-f", "sender@example.net", "-t", f"user@{DOMAIN}"]
    return ["smtp-source", *keep, *counts, *people, f"{target.address}:25"]
