"""How long a group takes to serve again with a full queue: from `systemctl start` to a new message in its mailbox."""

from __future__ import annotations

import smtplib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.accounts import DOMAIN, Person
from tests.bench.figures import Bar, Figure
from tests.bench.queue_files import Template
from tests.bench.report import Section
from tests.bench.rounds import Spread
from tests.bench.side import Side
from tests.bench.stage import AGENT, DOVECOT, POSTFIX, say
from tests.lab import Lab
from tests.lab.polling import wait_until

QUEUED: Final = 100_000
#: Next attempts of the deferred mail are spread over Postfix's longest retry interval.
_DUE_WITHIN: Final = 4000.0
_WITHIN: Final = 120.0
_READER: Final = Person(1)
_BAR: Final = Bar("<=", 5.0)


@dataclass(frozen=True)
class Start:
    """Seconds from the order to start. `cold`: nothing of the disk was in memory."""

    cold: bool
    answers: float
    delivers: float


def measure_starts(lab: Lab, side: Side, rounds: int) -> list[Start]:
    """Fill the queue, then stop and start the group; every second time with empty caches."""
    node = side.node
    node.run("systemctl", "stop", AGENT)
    say("one message that cannot be delivered, as the pattern of the others")
    sender = ["smtp-source", "-m", "1", "-l", "2048", "-f", f"{_READER.address}", "-t", "somebody@unknown.example"]
    node.run(*sender, "127.0.0.1:10025")
    node.wait_until("message deferred", lambda: side.deferred() == 1 and side.queued() == 0)
    node.run("systemctl", "stop", POSTFIX, DOVECOT, timeout=60)
    say(f"{QUEUED:,} copies of it")
    spool = side.inside(side.spool)
    Template.take(spool).multiply(spool, QUEUED - 1, time.time(), _DUE_WITHIN)
    starts = []
    for number in range(2 * rounds):
        cold = number % 2 == 0
        starts.append(_start(lab, side, cold=cold))
        say(f"started {'cold' if cold else 'warm'}: {starts[-1].delivers:.2f} s")
        node.run("systemctl", "stop", POSTFIX, DOVECOT, timeout=60)
    return starts


def _start(lab: Lab, side: Side, *, cold: bool) -> Start:
    node = side.node
    before = side.delivered([_READER])
    node.run("sync")
    if cold:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    begin = time.monotonic()
    node.run("systemctl", "start", "--no-block", DOVECOT, POSTFIX)
    not_yet = (OSError, smtplib.SMTPException)
    with lab.enter():
        client = wait_until("answer", lambda: _client(node.address), timeout=_WITHIN, every=0.01, ignore=not_yet)
    answers = time.monotonic() - begin
    with client:
        client.sendmail("sender@example.net", [_READER.address], f"To: {_READER.address}\r\nSubject: first\r\n\r\n")
    wait_until("delivered", lambda: side.delivered([_READER]) > before, timeout=_WITHIN, every=0.01)
    return Start(cold, answers, time.monotonic() - begin)


def _client(address: str) -> smtplib.SMTP:
    """A connection that has been greeted and has said EHLO."""
    client = smtplib.SMTP(address, 25, local_hostname=f"client.{DOMAIN}", timeout=_WITHIN)
    client.ehlo_or_helo_if_needed()
    return client


def start_section(starts: list[Start]) -> Section:
    """The table."""
    rows = []
    for cold in (True, False):
        chosen = [start for start in starts if start.cold is cold]
        spreads = [Spread.of([start.answers for start in chosen]), Spread.of([start.delivers for start in chosen])]
        rows.append(["caches empty" if cold else "caches warm", *map(str, spreads)])
    header = ["", "SMTP answers, s", "a new message is delivered, s"]
    return Section(f"Starting the group's units with {QUEUED:,} deferred messages", header, rows)


def start_figures(starts: list[Start]) -> list[Figure]:
    """The figure with the bar is that of empty caches: another server's are."""
    name = f"start of a group with {QUEUED:,} queued messages until a new one is delivered"
    figures = []
    for caches, cold, bar in (("empty", True, _BAR), ("warm", False, None)):
        seconds = Spread.of([start.delivers for start in starts if start.cold is cold]).median
        figures.append(Figure(f"{name}, caches {caches}", seconds, "s", bar))
    return figures
