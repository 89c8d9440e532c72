"""How fast people sign in: IMAP LOGIN and LOGOUT, against Dovecot with LDAP as its documentation shows it."""

from __future__ import annotations

import itertools

from tests.bench import bare, stage
from tests.bench.accounts import ARGON2ID, Person, people
from tests.bench.figures import Bar, Figure
from tests.bench.logins import log_in
from tests.bench.report import Report, Section
from tests.bench.rounds import Spread, paired_ratios, pairs, percentile, short
from tests.bench.side import Side
from tests.bench.stage import say

_PEOPLE = 200
_AT_ONCE = 20
_COUNT = {"bare": 1500, "posthouse": 4000}
_DEFAULT_SCHEME_COUNT = 300
_BAR = Bar(">=", 4.0)


def measure(rounds: int) -> Report:
    """Alternate between the sides; then the default scheme, on Posthouse alone."""
    accounts = list(people(_PEOPLE))
    strong = list(people(_PEOPLE, first=1001))
    with stage.lab() as lab:
        ours = stage.posthouse(lab)
        stage.add_accounts(ours.node, accounts)
        stage.add_accounts(ours.node, strong, ARGON2ID, domain=False)
        other = stage.bare_side(lab)
        bare.start_slapd(other.node, accounts)
        bare.start_dovecot(other.node, ldap=True)
        for side in (other, ours):
            _round(side, accounts, "first", _PEOPLE)
        for number, order in enumerate(pairs(other, ours, rounds), start=1):
            say(f"round {number} of {rounds}")
            for side in order:
                _round(side, accounts, "20 at once", _COUNT[side.name])
            for side in order:
                _round(side, accounts, "one at a time", 400, at_once=1)
            _round(ours, strong, "ARGON2ID, 20 at once", _DEFAULT_SCHEME_COUNT)
            _round(ours, strong, "ARGON2ID, one at a time", 60, at_once=1)
        return _report(other, ours)


def _round(side: Side, accounts: list[Person], name: str, count: int, at_once: int = _AT_ONCE) -> None:
    with side.metered() as meter:
        logins = log_in(side.node, itertools.cycle(accounts), count=count, at_once=at_once)
    side.record(name, count / logins.wall)
    side.record(f"{name}: cpu", 1000 * meter.cpu / count)
    side.record(f"{name}: p50", 1000 * percentile(logins.latencies, 50))
    side.record(f"{name}: p99", 1000 * percentile(logins.latencies, 99))


def _report(other: Side, ours: Side) -> Report:
    report = Report("Signing in: IMAP LOGIN and LOGOUT")
    rows = []
    for name in ("20 at once", "one at a time"):
        ratio = Spread.of(paired_ratios(ours.measured[name], other.measured[name]))
        title = f"IMAP login and logout, {name}: ratio to bare Dovecot with LDAP"
        report.figures.append(Figure(title, ratio.median, "ratio", _BAR if name == "20 at once" else None))
        rows += [_row(other, name, ""), _row(ours, name, str(ratio))]
    for name in ("ARGON2ID, 20 at once", "ARGON2ID, one at a time"):
        rows.append(_row(ours, name, ""))
    for name in ("20 at once", "ARGON2ID, 20 at once"):
        title = f"IMAP login and logout, {name}"
        cost = Spread.of(ours.measured[f"{name}: cpu"]).median
        report.figures += [
            Figure(title, Spread.of(ours.measured[name]).median, "logins/s"),
            Figure(f"{title}: processor time", cost, "ms/login"),
        ]
    header = ["logins", "per second", "ratio", "p50 ms", "p99 ms", "CPU ms"]
    heading = "Cheap scheme (SHA512-CRYPT, 1000 rounds) unless named; p50 and p99 from connect to OK"
    report.sections.append(Section(heading, header, rows))
    return report


def _row(side: Side, name: str, ratio: str) -> list[str]:
    values = [Spread.of(side.measured[f"{name}: {kind}"]).median for kind in ("p50", "p99", "cpu")]
    return [f"{side.name}, {name}", str(Spread.of(side.measured[name])), ratio, *map(short, values)]
