"""The owner's side, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.cluster.model import Basis, Ownership, OwnershipStage, Session
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.cluster.timing import FenceMode, Timing
from appliance.coordination.store import Outcome
from appliance.errors import BadInput
from appliance.ownership import owner
from appliance.ownership.decisions import (
    Clean,
    Decision,
    DisarmWatchdog,
    Drop,
    Mount,
    Note,
    PetWatchdog,
    Prepare,
    Reason,
    Stop,
)
from appliance.ownership.owner import Holding, Identity, Owner, Stage
from appliance.ownership.records import OwnerSeen, SessionSeen
from appliance.ownership.transactions import Transaction

A, B, MAIL = NodeName("a"), NodeName("b"), GroupName("mail")
EPOCH, GRANTED = 7, 11
ME = Identity(A, "boot", "machine", Timing.starting(FenceMode.WATCHDOG), FenceMode.WATCHDOG, watchdog=True)
WITHOUT_WATCHDOG = Identity(A, "boot", "machine", Timing(), FenceMode.FENCED, watchdog=False)
YES, NO = Outcome(True, 20), Outcome(False, 20)


def granted(node: NodeName = A, epoch: int = EPOCH, basis: Basis = Basis.FENCED, revision: int = GRANTED) -> OwnerSeen:
    record = Ownership(group=MAIL, node=node, session_epoch=epoch, stage=OwnershipStage.GRANTED, basis=basis)
    return OwnerSeen(record, revision)


def renewed(at: float, **changes: object) -> Owner:
    return replace(Owner(clean=True, epoch=EPOCH, renewed=at), **changes)  # type: ignore[arg-type]


def holding(stage: Stage, **changes: object) -> dict[GroupName, Holding]:
    return {MAIL: replace(Holding(stage, GRANTED, GRANTED, Basis.FENCED), **changes)}  # type: ignore[arg-type]


def in_flight(state: Owner, sent: float) -> Owner:
    return owner.renewal(state, sent, ME)[0]


def reasons(said: tuple[Decision, ...]) -> list[Reason]:
    return [each.reason for each in said]


# --- the session ------------------------------------------------------------------------------------------


def test_a_keeper_cleans_up_before_anything_and_opens_no_session_before_that() -> None:
    state, said = owner.begin()
    assert [type(each) for each in said] == [Clean]
    assert owner.opening(state, None, 0.0, ME) is None
    assert owner.opening(owner.cleaned(state), None, 0.0, ME) is not None


def test_no_session_is_opened_while_anything_is_held_even_what_outlives_the_store() -> None:
    held = holding(Stage.DROPPING, preempts=True, outlives=True)
    assert owner.opening(Owner(clean=True, holdings=held), None, 0.0, ME) is None


def test_the_session_of_a_predecessor_is_ended_first() -> None:
    before = SessionSeen(Session(node=A, boot_id="boot"), 3, 5)
    opening = owner.opening(Owner(clean=True), before, 0.0, ME)
    assert opening is not None
    state, transaction = opening
    assert state.flight is None
    assert [guard.expected for guard in transaction.guards] == [5]


@pytest.mark.parametrize(
    ("outcome", "took", "t0", "expected"),
    [
        pytest.param(YES, 1.5, 12.0, [PetWatchdog], id="in time: t0 is when it was sent"),
        pytest.param(YES, 1.6, 10.0, [Note], id="late: nothing counts"),
        pytest.param(None, 1.5, 10.0, [Note], id="no answer: nothing counts"),
        pytest.param(NO, 0.1, None, [Drop], id="refused: the session was taken"),
    ],
)
def test_a_renewal(outcome: Outcome | None, took: float, t0: float | None, expected: list[type[Decision]]) -> None:
    state = in_flight(renewed(10.0, armed=9.0, holdings=holding(Stage.CONFIRMED)), 12.0)
    state, said = owner.answered(state, outcome, 12.0 + took, ME)
    assert state.renewed == t0
    assert [type(each) for each in said] == expected


def test_a_good_renewal_after_the_deadline_drops_what_was_held_and_pets_nothing() -> None:
    state = in_flight(renewed(10.0, armed=9.0, holdings=holding(Stage.CONFIRMED)), 14.9)
    state, said = owner.answered(state, YES, 15.1, ME)
    assert [type(each) for each in said] == [Drop]
    assert state.renewed == 14.9


def test_an_answer_to_nothing_is_nothing() -> None:
    state = renewed(10.0)
    assert owner.answered(state, YES, 11.0, ME)[0] == state


def test_an_unarmed_watchdog_is_not_petted() -> None:
    assert owner.answered(in_flight(renewed(10.0), 12.0), YES, 12.1, ME)[1] == ()


# --- the deadline -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "dropped"),
    [
        pytest.param(14.99, 0, id="before t0 + D"),
        pytest.param(15.0, 1, id="at t0 + D"),
        pytest.param(99.0, 1, id="after"),
    ],
)
def test_the_deadline(now: float, dropped: int) -> None:
    state, said = owner.tick(renewed(10.0, holdings=holding(Stage.CONFIRMED)), now, ME)
    assert reasons(said) == [Reason.DEADLINE_PASSED] * dropped
    assert owner.tick(state, now, ME)[1] == (), "it is said once"


def test_what_outlives_the_store_has_no_deadline() -> None:
    state = renewed(10.0, holdings=holding(Stage.CONFIRMED, preempts=True, outlives=True))
    assert owner.tick(state, 1e6, ME) == (state, ())


@pytest.mark.parametrize(("now", "seconds"), [(10.0, 1.5), (14.0, 1.0), (15.0, 1.5)])
def test_no_call_may_reach_beyond_the_deadline(now: float, seconds: float) -> None:
    assert owner.patience(renewed(10.0), now, ME) == pytest.approx(seconds)


def test_the_watchdog_is_disarmed_when_nothing_is_bound_to_it() -> None:
    state = renewed(10.0, armed=9.0, holdings=holding(Stage.DROPPING))
    state, said = owner.dropped(state, MAIL)
    assert (state.armed, [type(each) for each in said]) == (None, [DisarmWatchdog])


# --- taking -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(granted(), [Prepare], id="mine"),
        pytest.param(granted(node=B), [], id="another's"),
        pytest.param(granted(epoch=6), [], id="of an earlier session of mine"),
        pytest.param(None, [], id="unreadable"),
    ],
)
def test_a_record_is_followed(record: OwnerSeen | None, expected: list[type[Decision]]) -> None:
    _, said = owner.seen(renewed(10.0), {MAIL: record}, ME)
    assert [type(each) for each in said] == expected


@pytest.mark.parametrize(
    ("records", "dropped"),
    [
        pytest.param({MAIL: granted(node=B, revision=30)}, True, id="names another"),
        pytest.param({MAIL: granted(revision=30)}, True, id="granted to this node anew"),
        pytest.param({}, True, id="gone"),
        pytest.param({MAIL: None}, False, id="unreadable"),
        pytest.param({MAIL: granted(revision=9)}, False, id="older than what is held"),
    ],
)
def test_what_is_held_is_dropped_when_its_record_changed(
    records: dict[GroupName, OwnerSeen | None], dropped: bool
) -> None:
    _, said = owner.seen(renewed(10.0, holdings=holding(Stage.CONFIRMED)), records, ME)
    assert reasons(said) == [Reason.RECORD_CHANGED] * dropped


def prepared(me: Identity, at: float = 11.0, timeout: float | None = 7.0) -> tuple[Owner, tuple[Decision, ...]]:
    state, _ = owner.seen(renewed(10.0), {MAIL: granted()}, me)
    return owner.prepared(state, MAIL, at, me, timeout=timeout)


def test_a_confirmation_waits_for_a_renewal_that_was_sent_after_the_watchdog_was_armed() -> None:
    state, _ = prepared(ME)
    assert owner.confirmation(state, MAIL, 11.1, ME) == Note(Reason.RENEWAL_OLDER_THAN_WATCHDOG)
    assert isinstance(owner.confirmation(replace(state, renewed=11.0), MAIL, 11.1, ME), Transaction)


@pytest.mark.parametrize(("me", "silence"), [(ME, 15.0), (WITHOUT_WATCHDOG, None)])
def test_a_confirmation_publishes_what_silence_proves(me: Identity, silence: float | None) -> None:
    state, _ = prepared(me)
    transaction = owner.confirmation(replace(state, renewed=12.0), MAIL, 12.1, me)
    assert isinstance(transaction, Transaction)
    (put,) = transaction.changes
    published = Ownership.model_validate_json(put.value)  # type: ignore[union-attr]
    assert (published.silence, published.stage) == (silence, OwnershipStage.CONFIRMED)
    assert [guard.expected for guard in transaction.guards] == [EPOCH, GRANTED]


@pytest.mark.parametrize("timeout", [None, 7.1])
def test_a_watchdog_that_takes_longer_than_w_is_none(timeout: float | None) -> None:
    _, said = prepared(ME, timeout=timeout)
    assert reasons(said) == [Reason.WATCHDOG_TOO_SLOW]


@pytest.mark.parametrize(
    ("outcome", "now", "expected", "reason"),
    [
        pytest.param(YES, 12.0, Mount, Reason.CONFIRMED, id="confirmed"),
        pytest.param(NO, 12.0, Drop, Reason.CONFIRMATION_REFUSED, id="refused"),
        pytest.param(None, 12.0, Drop, Reason.CONFIRMATION_UNANSWERED, id="unanswered"),
        pytest.param(YES, 16.0, Drop, Reason.DEADLINE_PASSED, id="confirmed too late"),
    ],
)
def test_only_a_confirmation_in_time_is_mounted(
    outcome: Outcome | None, now: float, expected: type[Decision], reason: Reason
) -> None:
    state = renewed(11.0, armed=10.0, holdings=holding(Stage.PREPARED))
    _, said = owner.confirmed(state, MAIL, outcome, now, ME)
    assert [(type(each), each.reason) for each in said] == [(expected, reason)]


@pytest.mark.parametrize(
    ("basis", "clear"),
    [(each, each in {Basis.FENCED, Basis.WAITED}) for each in Basis],
)
def test_multi_mount_protection_is_cleared_only_where_the_old_mount_is_dead(basis: Basis, clear: bool) -> None:
    state = renewed(11.0, holdings=holding(Stage.PREPARED, basis=basis, preempts=True))
    _, (mount,) = owner.confirmed(state, MAIL, YES, 12.0, ME)
    assert mount == Mount(Reason.CONFIRMED, MAIL, GRANTED, clear, facts={"epoch": 20})


# --- giving away ------------------------------------------------------------------------------------------


def test_a_group_is_handed_over_only_after_it_stopped() -> None:
    to = SessionSeen(Session(node=B, boot_id="boot"), 8, 9)
    state, said = owner.move(renewed(10.0, holdings=holding(Stage.CONFIRMED)), MAIL)
    assert [type(each) for each in said] == [Stop]
    assert owner.handing_over(state, MAIL, to, ME) is None
    state = owner.stopped(state, MAIL)
    assert owner.handing_over(state, MAIL, to, ME) is not None
    assert owner.handed_over(state, MAIL, YES)[0].holdings == {}


def test_a_group_whose_deadline_passed_while_it_stopped_is_not_handed_over() -> None:
    state, _ = owner.move(renewed(10.0, holdings=holding(Stage.CONFIRMED)), MAIL)
    state, said = owner.tick(state, 15.0, ME)
    assert reasons(said) == [Reason.DEADLINE_PASSED]
    assert owner.handing_over(owner.stopped(state, MAIL), MAIL, None, ME) is None


def test_a_stop_that_hangs_is_left_to_the_watchdog() -> None:
    stopping = renewed(10.0, holdings=holding(Stage.STOPPING), armed=5.0)
    state, said = owner.stop_hangs(stopping, MAIL)
    assert said == (Drop(Reason.STOP_HANGS, MAIL),)
    _, said = owner.answered(in_flight(state, 12.0), YES, 12.1, ME)
    assert PetWatchdog not in map(type, said)
    assert owner.stop_hangs(state, MAIL)[1] == (), "it is said once"
    assert owner.stop_hangs(replace(stopping, armed=None), MAIL)[1] == (), "nothing would end the drop"
    assert owner.stop_hangs(renewed(10.0, holdings=holding(Stage.CONFIRMED), armed=5.0), MAIL)[1] == ()


def test_a_timing_that_does_not_fit_the_mode_makes_no_keeper() -> None:
    with pytest.raises(BadInput) as refused:
        Identity(A, "boot", "machine", Timing(), FenceMode.WATCHDOG, watchdog=True)
    assert refused.value.facts["rule"] == "2W + delta <= T"
    with pytest.raises(BadInput):
        Identity(A, "boot", "machine", Timing(demote=Seconds(4.0)), FenceMode.FENCED, watchdog=False)
