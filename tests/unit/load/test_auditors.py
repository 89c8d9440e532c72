"""The auditors of the load find what they are there for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

import pytest

from tests.load.auditors import audit, audit_mailbox
from tests.load.journal import audit_journal, entries, owners_in_order
from tests.load.outage import OutageWatch, Target
from tests.load.ownership import Watchpost, holders_now
from tests.load.senders import Ledger
from tests.load.workers import MailboxLedger


def test_a_message_that_is_nowhere_is_lost_and_a_second_copy_is_counted() -> None:
    ledger = Ledger(accepted={"there": "a@load.test", "gone": "a@load.test", "fetched": "a@load.test"})
    finding = audit(ledger, Counter({"there": 2}), fetched=["fetched"])
    assert finding.lost == {"gone"}
    assert finding.duplicates == {"there": 2}


def moved(answered: bool) -> MailboxLedger:
    """A message that was appended to Work and then moved to Done, with or without an answer."""
    ledger = MailboxLedger()
    ledger.trying("m", "Work")
    ledger.done("m", "Work")
    ledger.trying("m", "Done")
    if answered:
        ledger.done("m", "Done")
    return ledger


@pytest.mark.parametrize(
    ("answered", "found", "well"),
    [
        (True, ["Done"], True),
        (True, ["Work"], False),
        (True, ["Work", "Done"], False),
        (True, ["Done", "Done"], False),
        (True, [], False),
        (False, ["Work"], True),
        (False, ["Done"], True),
        (False, ["Work", "Done"], True),
        (False, [], False),
    ],
)
def test_a_moved_message_is_where_the_answers_say(answered: bool, found: list[str], well: bool) -> None:
    assert bool(audit_mailbox(moved(answered), {"m": found})) is not well


@pytest.mark.parametrize(("answered", "found", "well"), [(True, [], True), (True, ["Work"], False), (False, [], True)])
def test_a_deleted_message_is_gone_for_good(answered: bool, found: list[str], well: bool) -> None:
    ledger = MailboxLedger({"m": frozenset(("Work",))})
    ledger.trying("m", None)
    if answered:
        ledger.done("m", None)
    assert bool(audit_mailbox(ledger, {"m": found})) is not well


def test_an_append_that_was_not_answered_may_be_there_or_not() -> None:
    ledger = MailboxLedger()
    ledger.trying("m", "Work")
    assert not audit_mailbox(ledger, {})
    assert not audit_mailbox(ledger, {"m": ["Work"]})
    assert audit_mailbox(ledger, {"m": ["Done"]})


class Scripted:
    """A watchpost that sees one thing after the other."""

    def __init__(self, name: str, seen: Sequence[Sequence[str]]) -> None:
        self.name = name
        self._seen: Iterator[Sequence[str]] = iter(seen)

    def held(self) -> frozenset[str]:
        return frozenset(next(self._seen))


def looked_at(*posts: Scripted) -> dict[str, frozenset[str]]:
    return holders_now(cast(Sequence[Watchpost], posts))


def test_two_nodes_that_hold_something_at_one_instant_are_seen() -> None:
    seen = looked_at(Scripted("a", [["volume"], ["volume"]]), Scripted("b", [["address"], ["address", "engines"]]))
    assert seen == {"a": {"volume"}, "b": {"address"}}


def test_a_hand_over_between_two_looks_is_not_mistaken_for_two_owners() -> None:
    seen = looked_at(Scripted("a", [["volume"], []]), Scripted("b", [["volume"], ["volume"]]))
    assert seen == {"a": frozenset(), "b": {"volume"}}


def test_an_outage_is_the_longest_gap_between_two_successes_that_ends_after_a_moment() -> None:
    watch = OutageWatch(Target("host", "who@load.test", ""))
    watch.successes["imap"] = [0.0, 3.0, 3.05, 4.0, 4.05, 6.0]
    assert watch.outage("imap", since=3.5) == pytest.approx(1.95)
    assert watch.outage("smtp", since=0.0) == 0.0


def line(node: str, epoch: int, happened: str = "attached") -> dict[str, object]:
    return {"node": node, "epoch": epoch, "happened": happened}


def test_a_volume_that_went_from_hand_to_hand_has_a_clean_journal() -> None:
    lines = [line("a", 3), line("a", 3, "detached"), line("b", 7), line("a", 9), line("a", 9, "detached")]
    assert not audit_journal(lines)
    assert owners_in_order(lines) == ["a", "b", "a"]


@pytest.mark.parametrize(
    "lines",
    [
        [line("a", 3), line("b", 7), line("a", 3, "detached")],
        [line("a", 3), line("b", 3)],
        [line("b", 7), line("a", 3)],
    ],
)
def test_an_owner_that_writes_after_the_next_one_is_found(lines: list[dict[str, object]]) -> None:
    assert audit_journal(lines)


def test_a_torn_line_of_a_journal_is_passed_over() -> None:
    assert entries('{"node": "a", "epoch": 3, "happened": "attached"}\n{"node": "b", "ep') == [line("a", 3)]
