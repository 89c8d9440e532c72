"""How fast mail comes in: SMTP to mailbox, counted when the message lies in the Maildir."""

from __future__ import annotations

from tests.bench import bare, stage
from tests.bench.accounts import people
from tests.bench.figures import Bar, Figure
from tests.bench.report import Report, Section
from tests.bench.rounds import Spread, paired_ratios, pairs, short
from tests.bench.side import Side
from tests.bench.smtp import Load, flow
from tests.bench.stage import say

LOADS = {
    "20 sessions, kept": Load(20, 2000, keep=True),
    "20 sessions, one message each": Load(20, 2000, keep=False),
    "1 session, kept": Load(1, 300, keep=True),
}
_BAR = Bar(">=", 0.95)
_WITH_BAR = ("20 sessions, kept", "20 sessions, one message each")


def measure(rounds: int) -> Report:
    """Alternate between the sides, for each kind of load."""
    accounts = list(people(max(load.messages for load in LOADS.values())))
    with stage.lab() as lab:
        ours = stage.posthouse(lab)
        stage.add_accounts(ours.node, accounts)
        other = stage.bare_side(lab)
        bare.start_postfix(other.node, accounts)
        bare.start_dovecot(other.node)
        say("first message to each mailbox, which makes it")
        for server, client in ((ours, other), (other, ours)):
            flow(Load(20, len(accounts), keep=True), client.node, server, accounts)
        for number, order in enumerate(pairs(other, ours, rounds), start=1):
            say(f"round {number} of {rounds}")
            for name, load in LOADS.items():
                for side in order:
                    meter = flow(load, (ours if side is other else other).node, side, accounts)
                    side.record(name, load.messages / meter.wall)
                    side.record(f"{name}: cpu", 1000 * meter.cpu / load.messages)
        return _report(other, ours)


def _report(other: Side, ours: Side) -> Report:
    report = Report("Mail flow: SMTP in to mailbox, 10 KB")
    rows = []
    for name in LOADS:
        ratio = Spread.of(paired_ratios(ours.measured[name], other.measured[name]))
        rates = [Spread.of(side.measured[name]) for side in (other, ours)]
        costs = [Spread.of(side.measured[f"{name}: cpu"]) for side in (other, ours)]
        rows.append([name, *map(str, rates), str(ratio), *(short(cost.median) for cost in costs)])
        bar = _BAR if name in _WITH_BAR else None
        report.figures += [
            Figure(f"SMTP in to mailbox, {name}: ratio to bare Postfix and Dovecot", ratio.median, "ratio", bar),
            Figure(f"SMTP in to mailbox, {name}", rates[1].median, "messages/s"),
            Figure(f"SMTP in to mailbox, {name}: processor time", costs[1].median, "ms/message"),
        ]
    header = ["load", "bare, messages/s", "Posthouse, messages/s", "ratio", "bare, CPU ms", "Posthouse, CPU ms"]
    report.sections.append(
        Section("Messages per second, and processor time of the whole node per message", header, rows)
    )
    return report
