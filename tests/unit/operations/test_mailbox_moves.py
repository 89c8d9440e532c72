"""What is made of a move's run: its last line, or what its state says where the journal told none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.cluster.names import GroupName
from appliance.cluster.work import MOVE_MAILBOX, Run, RunState
from appliance.errors import PosthouseError, Unavailable
from appliance.mailbox_move.move import Moved
from appliance.operations import mailbox_moves

MOVED = Moved("a@x.test", "mail", "two", 2, 1.25)


def run(state: RunState, *lines: str) -> Run:
    return Run(
        group=GroupName("mail"),
        work="move-" + "a" * 32,
        id="1",
        kind=MOVE_MAILBOX,
        due=datetime(2026, 1, 1, tzinfo=UTC),
        state=state,
        parameters={"address": "a@x.test", "target": "two"},
        detail="\n".join(lines),
    )


def test_the_last_line_says_how_it_went() -> None:
    said = (mailbox_moves.step("move-copying"), mailbox_moves.ended(MOVED))
    assert mailbox_moves._outcome(run(RunState.DONE, *said)) == MOVED


def test_one_that_went_well_and_told_nothing_went_well() -> None:
    for lines in ((), (mailbox_moves.step("move-clearing"),), ("half a li",)):
        assert mailbox_moves._outcome(run(RunState.DONE, *lines)) == Moved("a@x.test", "mail", "two", None, None)


def test_an_error_is_raised_as_it_was_with_its_exit_code() -> None:
    line = mailbox_moves.failed(Unavailable("move-no-rest", address="a@x.test"))
    with pytest.raises(Unavailable) as raised:
        mailbox_moves._outcome(run(RunState.FAILED, line))
    assert (raised.value.key, raised.value.facts) == ("move-no-rest", {"address": "a@x.test"})
    with pytest.raises(PosthouseError) as other:
        mailbox_moves._outcome(run(RunState.FAILED, mailbox_moves.failed(OSError(28, "No space left"))))
    assert other.value.key == "move-failed"


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.LOST])
def test_what_ended_without_a_word_was_cut_off(state: RunState) -> None:
    with pytest.raises(Unavailable) as raised:
        mailbox_moves._outcome(run(state, mailbox_moves.step("move-holding")))
    assert raised.value.key == "move-cut-off"


def test_a_line_fits_into_what_is_taken_from_the_journal() -> None:
    facts = {str(number): "x" * 500 for number in range(9)}
    assert len(mailbox_moves.failed(Unavailable("program-failed", **facts))) <= 300
    usual = {"program": "rsync", "detail": "x" * 500}
    assert "program-failed" in mailbox_moves.failed(PosthouseError("program-failed", **usual))
