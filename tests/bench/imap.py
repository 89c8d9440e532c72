"""How fast a large mailbox is read: FETCH, SORT, THREAD and SEARCH over 10,000 messages, cold and warm.

Cold means without Dovecot's index and cache files. The files themselves are in the
page cache on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.bench import bare, corpus, stage
from tests.bench.accounts import Person, people
from tests.bench.figures import Bar, Figure
from tests.bench.imap_session import ImapSession
from tests.bench.report import Report, Section
from tests.bench.rounds import Spread, geometric_means, paired_ratios, pairs, short
from tests.bench.side import Side
from tests.bench.stage import say

MESSAGES: Final = 10_000
_VMAIL: Final = 57143
_BAR: Final = Bar(">=", 0.95)


@dataclass(frozen=True)
class Operation:
    """A command, run `times` times in a row; `kind` is the bar it counts for."""

    name: str
    kind: str
    command: str
    times: int = 1


_SORT, _SEARCH, _FETCH, _SELECT = "SORT and THREAD", "SEARCH", "FETCH", "SELECT"
COLD: Final = (
    Operation("SELECT, cold", _SELECT, "SELECT INBOX"),
    Operation("SORT DATE, cold", _SORT, "SORT (DATE) UTF-8 ALL"),
    Operation("THREAD REFERENCES, cold", _SORT, "THREAD REFERENCES UTF-8 ALL"),
    Operation("SEARCH SUBJECT, cold", _SEARCH, "SEARCH SUBJECT minutes"),
    Operation("FETCH ENVELOPE of all, cold", _FETCH, "FETCH 1:* (UID FLAGS ENVELOPE)"),
)
WARM: Final = (
    Operation("SELECT", _SELECT, "SELECT INBOX", 10),
    Operation("FETCH FLAGS of all", _FETCH, "FETCH 1:* (FLAGS)", 5),
    Operation("FETCH UID FLAGS SIZE ENVELOPE of all", _FETCH, "FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE)", 3),
    Operation("FETCH BODY[] of 1,000", _FETCH, "FETCH 4001:5000 (BODY.PEEK[])", 3),
    Operation("SORT DATE", _SORT, "SORT (DATE) UTF-8 ALL", 5),
    Operation("SORT SUBJECT", _SORT, "SORT (SUBJECT) UTF-8 ALL", 3),
    Operation("THREAD REFERENCES", _SORT, "THREAD REFERENCES UTF-8 ALL", 3),
    Operation("SEARCH UNSEEN", _SEARCH, "SEARCH UNSEEN", 10),
    Operation("SEARCH SUBJECT", _SEARCH, "SEARCH SUBJECT minutes", 5),
    Operation("SEARCH BODY, no full-text index", _SEARCH, f"SEARCH BODY {corpus.RARE_WORD}"),
)


def measure(rounds: int) -> Report:
    """The same mailbox on both sides; each round reads it cold, then warm."""
    person = next(people(1))
    with stage.lab() as lab:
        ours = stage.posthouse(lab)
        stage.add_accounts(ours.node, [person])
        other = stage.bare_side(lab)
        bare.start_dovecot(other.node)
        say(f"writing {MESSAGES} messages to each side")
        for side in (other, ours):
            corpus.write_maildir(side.inside(side.home(person)) / "Maildir", MESSAGES, _VMAIL)
        for side in (other, ours):
            _round(side, person, record=False)
        for number, order in enumerate(pairs(other, ours, rounds), start=1):
            say(f"round {number} of {rounds}")
            for side in order:
                _round(side, person)
        return _report(other, ours)


def _round(side: Side, person: Person, *, record: bool = True) -> None:
    for path in (side.inside(side.home(person)) / "Maildir").glob("dovecot.index*"):
        path.unlink()
    with ImapSession(side.node, person) as session:
        for operation in (*COLD, *WARM):
            with side.metered() as meter:
                answers = [session.command(operation.command) for _ in range(operation.times)]
            if record:
                side.record(operation.name, 1000 * min(answer.seconds for answer in answers))
                side.record(f"{operation.name}: cpu", 1000 * meter.cpu / operation.times)


def _report(other: Side, ours: Side) -> Report:
    report = Report(f"Reading by IMAP: a Maildir of {MESSAGES:,} messages")
    rows = []
    speeds: dict[str, list[list[float]]] = {}
    thrifts: dict[str, list[list[float]]] = {}
    for operation in (*COLD, *WARM):
        name = operation.name
        speed = paired_ratios(other.measured[name], ours.measured[name])
        speeds.setdefault(operation.kind, []).append(speed)
        used = [side.measured[f"{name}: cpu"] for side in (other, ours)]
        thrifts.setdefault(operation.kind, []).append(paired_ratios(*used))
        times = [Spread.of(side.measured[name]) for side in (other, ours)]
        costs = [Spread.of(seconds).median for seconds in used]
        rows.append([name, *map(str, times), str(Spread.of(speed)), *map(short, costs)])
        report.figures.append(Figure(f"{name}: speed as ratio to bare Dovecot", Spread.of(speed).median, "ratio"))
    header = ["command", "bare, ms", "Posthouse, ms", "speed ratio", "bare, CPU ms", "Posthouse, CPU ms"]
    report.sections.append(Section("Milliseconds for each command, and processor time of the whole node", header, rows))
    means = {kind: Spread.of(geometric_means(ratios)) for kind, ratios in speeds.items()}
    report.figures += [
        Figure(f"{kind}: speed as ratio to bare Dovecot, all its commands", mean.median, "ratio", _BAR)
        for kind, mean in means.items()
        if kind != _SELECT
    ]
    # Says the same without a clock: on a machine that others use too, this is the steadier of the two
    report.figures += [
        Figure(f"{kind}: bare Dovecot's processor time over Posthouse's, all its commands", mean.median, "ratio")
        for kind, mean in {kind: Spread.of(geometric_means(ratios)) for kind, ratios in thrifts.items()}.items()
        if kind != _SELECT
    ]
    return report
