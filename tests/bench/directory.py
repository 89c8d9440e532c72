"""A directory of a million mailboxes: signing in, listing, searching, making many; and a start with a full queue."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.bench import bare, million, stage
from tests.bench.accounts import CHEAP, DOMAIN, PASSWORD, Person
from tests.bench.figures import Bar, Figure
from tests.bench.group_start import measure_starts, start_figures, start_section
from tests.bench.logins import log_in
from tests.bench.report import Report, Section
from tests.bench.rounds import Spread, pairs, percentile, short
from tests.bench.side import Side
from tests.bench.stage import say
from tests.lab import Node

_LOGINS: Final = 400
_FIRST_PAGE: Final = 50
_ASKED: Final[dict[str, Any]] = {
    "page_sizes": [_FIRST_PAGE, 500],
    "deep": 10_000,
    "find": Person(777_777).address,
    "terms": {
        "search by whole local part": Person(654_321).local_part,
        "search by part of an address": "54321us",
        "search by part of many addresses": "99user",
        "search by Chinese name": Person(4).display_name if not Person(4).display_name.isascii() else "王伟",
        "search by family name in Latin letters": "Walker",
        "search for what is not there": "nobody-of-that-name",
    },
}
_MADE: Final = 3000
_MADE_HASHED: Final = 300
_PYTHON: Final = "/opt/posthouse/bin/python"
_PROGRAM: Final = Path(__file__).with_name("directory_program.py")
_STARTS: Final = 5
_BARS: Final = {"login": Bar("<", 10.0), "page": Bar("<", 50.0), "search": Bar("<", 50.0), "made": Bar(">=", 200.0)}


def measure(rounds: int) -> Report:
    """Load both sides, then take turns at logins; the rest is Posthouse alone."""
    with stage.lab() as lab:
        ours = stage.posthouse(lab)
        million.load_posthouse(ours.node)
        other = stage.bare_side(lab)
        million.load_bare(other.node)
        bare.start_dovecot(other.node, ldap=True)
        dice = random.Random(57)
        for side in (other, ours):
            log_in(side.node, _anybody(dice), count=50, at_once=1)
        for number, order in enumerate(pairs(other, ours, rounds), start=1):
            say(f"round {number} of {rounds}")
            for side in order:
                logins = log_in(side.node, _anybody(dice), count=_LOGINS, at_once=1)
                for percent in (50, 99):
                    side.record(f"login p{percent}", 1000 * percentile(logins.latencies, percent))
            for name, times in _run(ours.node, _ASKED).items():
                ours.record(name, Spread.of(times).median)
            _make(ours, "hash given", number, _MADE, hash=CHEAP)
            _make(ours, "ARGON2ID", number + 1000, _MADE_HASHED, password=PASSWORD)
        report = _report(other, ours)
        starts = measure_starts(lab, ours, min(rounds, _STARTS))
        report.sections.append(start_section(starts))
        report.figures += start_figures(starts)
        return report


def _anybody(dice: random.Random) -> Iterator[Person]:
    """People at random, so that no cache knows them."""
    while True:
        yield Person(dice.randrange(1, million.COUNT + 1))


def _run(node: Node, given: dict[str, Any]) -> dict[str, Any]:
    """Run the program inside the node."""
    done = node.run(_PYTHON, "-I", "-", json.dumps(given), input=_PROGRAM.read_text(), timeout=300)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _make(side: Side, name: str, block: int, count: int, **secret: str) -> None:
    given = {"make": {"first": block * 10_000, "count": count, "domain": DOMAIN, **secret}}
    side.record(f"made, {name}", _run(side.node, given)["made per second"])


def _report(other: Side, ours: Side) -> Report:
    report = Report(f"A directory of {million.COUNT:,} mailboxes in one domain")
    logins = {side.name: {p: Spread.of(side.measured[f"login p{p}"]) for p in (50, 99)} for side in (other, ours)}
    rows = [[name, *map(str, values.values())] for name, values in logins.items()]
    header = ["login (connect to OK)", "p50 ms", "p99 ms"]
    report.sections.append(Section("Signing in at idle, another person each time, cheap scheme", header, rows))
    report.figures.append(Figure("login at idle: p99", logins["posthouse"][99].median, "ms", _BARS["login"]))
    report.figures.append(Figure("login at idle, bare Dovecot with LDAP: p99", logins["bare"][99].median, "ms"))

    asked = {name: Spread.of(values) for name, values in ours.measured.items() if "page" in name or "se" in name}
    asked |= {"show by address": Spread.of(ours.measured["show by address"])}
    rows = [[name, str(spread)] for name, spread in asked.items()]
    note = "Each on a connection of its own, as the command line does it, but for the page that follows others."
    report.sections.append(Section("Asking, through DirectoryService", ["what", "ms"], rows, [note]))
    for name, spread in asked.items():
        report.figures.append(Figure(name, spread.median, "ms", _bar(name)))

    made = {name: Spread.of(ours.measured[f"made, {name}"]) for name in ("hash given", "ARGON2ID")}
    rows = [[name, str(spread)] for name, spread in made.items()]
    report.sections.append(Section("Making mailboxes in bulk", ["password", "mailboxes/s"], rows))
    report.figures += [
        Figure("making mailboxes in bulk, hash given", made["hash given"].median, "mailboxes/s", _BARS["made"]),
        Figure(f"making mailboxes in bulk, ARGON2ID on {short(2)} cores", made["ARGON2ID"].median, "mailboxes/s"),
    ]
    return report


def _bar(name: str) -> Bar:
    return _BARS["page"] if "page" in name else _BARS["search"]
