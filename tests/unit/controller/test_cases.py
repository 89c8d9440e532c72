"""What the protocol is asked, and what it says, for clusters of a few groups."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from appliance.cluster import keys
from appliance.cluster.decided import Acknowledgement, FenceRecord, FenceSpec, Placement
from appliance.cluster.model import Basis, Ownership, OwnershipStage, ServiceGroup, Session, VolumeDriver, VolumeSpec
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.timing import Timing
from appliance.ownership.decisions import AskOperator, Leave, OrderFence, Reason, Take, VerifyFence, Wait
from appliance.ownership.records import OwnerSeen, SessionSeen
from appliance.ownership.taker import OVERDUE, Fence, FenceKind, FenceState, Sighting
from controller.cases import Judgement, Known, judge, shared, waits_for
from controller.housekeeping import finished_fences, refuted_acknowledgements, used_acknowledgements
from controller.placement.situation import Choice, Why
from controller.placing import differs, record, running
from controller.view import Look, Seen, View
from tests.unit.controller.situations import group, node

NOW = 1000.0
EPOCHS = {"a": 11, "b": 12, "c": 13}
G, H = GroupName("g"), GroupName("h")


def known(
    *groups: ServiceGroup,
    owned: dict[str, str],
    silent: str = "",
    granted: str = "",
    fences: dict[str, FenceState] | None = None,
    tables: dict[str, Any] | None = None,
) -> Known:
    """Nodes a, b, c; `owned` says which groups they own; the `silent` ones have not renewed for longer than D."""
    owners = {
        GroupName(name): OwnerSeen(
            Ownership(
                group=GroupName(name),
                node=NodeName(at),
                session_epoch=EPOCHS[at],
                stage=OwnershipStage.GRANTED if name in granted else OwnershipStage.CONFIRMED,
            ),
            100 + number,
        )
        for number, (name, at) in enumerate(owned.items())
    }
    sessions = {
        NodeName(name): SessionSeen(Session(node=NodeName(name), boot_id="b"), epoch, 500 + epoch)
        for name, epoch in EPOCHS.items()
    }
    sightings = {
        name: Sighting(seen.revision, NOW - (9 if name in silent else 1), seen.epoch, 1.0)
        for name, seen in sessions.items()
    }
    fenced = {
        NodeName(name): Fence(FenceKind.POWER, NodeName(name), EPOCHS[name], GroupName(""), 0, state, NOW - 1)
        for name, state in (fences or {}).items()
    }
    all_tables = {
        keys.GROUPS: {each.name: Seen(each, 1) for each in groups},
        keys.NODES: {name: Seen(node(name), 1) for name in EPOCHS},
        **(tables or {}),
    }
    usable = frozenset(name for name in sessions if name not in silent)
    return Known(View(all_tables), Look(NOW, sessions, owners), Timing(), sightings, {}, fenced, usable)


def word(seen: Known, **goals: str | None) -> dict[str, Judgement]:
    where = {GroupName(name): None if at is None else NodeName(at) for name, at in goals.items()}
    return {str(each.case.group): each for each in judge(seen, where, seen.healthy(NOW), NOW)}


FENCE = {keys.FENCE_SPECS: {"a": Seen(FenceSpec(node=NodeName("a"), agent="fence_x"), 1)}}


def test_a_healthy_owner_is_not_even_asked_about() -> None:
    assert word(known(group("g"), owned={"g": "a"}), g="b") == {}


def test_an_unowned_group_is_granted_where_it_is_placed() -> None:
    decision = word(known(group("g"), owned={}), g="b")["g"].decision
    assert isinstance(decision, Take)
    assert decision.basis is Basis.UNOWNED


def test_a_group_placed_nowhere_is_left() -> None:
    assert word(known(group("g"), owned={}), g=None)["g"].decision.reason is Reason.NO_TARGET


def test_a_silent_owner_is_fenced_if_there_is_a_fence() -> None:
    assert isinstance(
        word(known(group("g"), owned={"g": "a"}, silent="a", tables=FENCE), g="b")["g"].decision, OrderFence
    )


def test_and_the_operator_is_asked_if_there_is_none() -> None:
    assert isinstance(word(known(group("g"), owned={"g": "a"}, silent="a"), g="b")["g"].decision, AskOperator)


def test_a_fence_that_says_off_of_a_living_node_proves_nothing() -> None:
    seen = replace(known(group("g"), owned={"g": "a"}, silent="a", tables=FENCE), reads_off=frozenset({NodeName("a")}))
    assert isinstance(word(seen, g="b")["g"].decision, AskOperator)


def test_a_fence_that_another_leader_ordered_is_read() -> None:
    seen = known(group("g"), owned={"g": "a"}, silent="a", fences={"a": FenceState.ORDERED}, tables=FENCE)
    assert isinstance(word(seen, g="b")["g"].decision, VerifyFence)


def test_after_a_verified_fence_all_groups_of_the_node_go_each_to_its_own_place() -> None:
    seen = known(group("g"), group("h"), owned={"g": "a", "h": "a"}, silent="a", fences={"a": FenceState.VERIFIED})
    first = word(seen, g="b", h="c")["g"]
    assert isinstance(first.decision, Take)
    assert [move.target.record.node for move in first.case.others if move.target] == ["c"]


def test_a_group_that_has_nowhere_to_go_stays_recorded_so_that_its_proof_is_not_lost() -> None:
    seen = known(group("g"), group("h"), owned={"g": "a", "h": "a"}, silent="a", fences={"a": FenceState.VERIFIED})
    said = word(seen, g="b", h=None)
    assert said["g"].case.others == ()
    assert said["h"].decision == Leave(Reason.NO_TARGET)


def test_the_operators_word_counts_for_the_session_that_it_names() -> None:
    for epoch, kind in ((11, Take), (10, AskOperator)):
        ack = Acknowledgement(node=NodeName("a"), session_epoch=epoch, by="me", at=datetime.now(UTC))
        seen = known(group("g"), owned={"g": "a"}, silent="a", tables={keys.ACKNOWLEDGEMENTS: {"a": Seen(ack, 600)}})
        assert isinstance(word(seen, g="b")["g"].decision, kind)


def test_a_session_that_cannot_be_read_leaves_its_groups_alone() -> None:
    seen = known(group("g"), owned={"g": "a"}, silent="a", tables=FENCE)
    look = Look(NOW, {}, seen.look.owners, frozenset({NodeName("a")}))
    blind = Known(seen.view, look, seen.timing, {}, {}, {}, seen.usable)
    assert word(blind, g="b") == {}


def test_an_ownership_that_cannot_be_read_is_not_taken_for_an_unowned_group() -> None:
    seen = known(group("g"), owned={})
    look = replace(seen.look, unreadable_owners=frozenset({G}))
    assert word(Known(seen.view, look, seen.timing, seen.sightings, {}, {}, seen.usable), g="b") == {}


def test_a_group_waits_for_the_one_before_it_until_that_is_confirmed() -> None:
    late, early = group("g", start_after=["h"]), group("h")
    for owned, granted, waits in (({}, "", H), ({"h": "a"}, "h", H), ({"h": "a"}, "", None)):
        seen = known(late, early, owned=owned, granted=granted)
        assert waits_for(seen, G, seen.healthy(NOW)) == waits


def test_groups_that_wait_for_each_other_do_not_wait() -> None:
    seen = known(group("g", start_after=["h"]), group("h", start_after=["g"]), owned={})
    assert waits_for(seen, G, frozenset()) is None
    assert waits_for(seen, H, frozenset()) is None


def test_groups_of_one_node_alone_are_nobodys_to_decide() -> None:
    own = ServiceGroup(name=G, volume=VolumeSpec(driver=VolumeDriver.DIRECTORY), candidates=(NodeName("a"),))
    assert shared({G: own, H: group("h"), GroupName("local"): group("local")}).keys() == {H}


def test_running_is_what_is_in_good_hands() -> None:
    seen = known(group("g"), group("h"), owned={"g": "a", "h": "b"}, silent="a")
    assert running(seen, seen.healthy(NOW)) == {H: "b"}


def test_an_acknowledgement_is_used_once_its_session_owns_nothing() -> None:
    ack = Acknowledgement(node=NodeName("a"), session_epoch=11, by="me", at=datetime.now(UTC))
    tables = {keys.ACKNOWLEDGEMENTS: {"a": Seen(ack, 9)}}
    assert list(used_acknowledgements(known(group("g"), owned={"g": "a"}, tables=tables))) == []
    assert list(used_acknowledgements(known(group("g"), owned={"g": "b"}, tables=tables))) == [("a", 9)]


def test_a_word_that_the_session_refuted_by_a_renewal_does_not_count_for_its_next_silence() -> None:
    def said_at(revision: int) -> Known:
        said = Acknowledgement(node=NodeName("a"), session_epoch=11, by="x", at=datetime.now(UTC))
        tables = {keys.ACKNOWLEDGEMENTS: {"a": Seen(said, revision)}}
        return known(group("g"), owned={"g": "a"}, silent="a", tables=tables)

    renewed = 500 + EPOCHS["a"]
    assert isinstance(word(said_at(renewed - 1), g="b")["g"].decision, AskOperator)
    assert list(refuted_acknowledgements(said_at(renewed - 1))) == [("a", renewed - 1)]
    assert word(said_at(renewed + 1), g="b")["g"].decision.reason is Reason.OPERATOR_SAYS_OFF
    assert list(refuted_acknowledgements(said_at(renewed + 1))) == []


def test_a_fence_is_finished_once_its_node_is_back_and_the_old_session_owns_nothing() -> None:
    for epoch, expected in ((10, [("a", 9)]), (11, [])):
        record_ = FenceRecord.model_validate({"node": "a", "session_epoch": epoch, "progress": "verified"})
        seen = known(group("g"), owned={}, tables={keys.FENCES: {"a": Seen(record_, 9)}})
        assert list(finished_fences(seen)) == expected


def test_a_placement_is_written_when_it_says_something_new() -> None:
    before = record(G, Choice(NodeName("a"), Why.HOME))
    assert not differs(before, Choice(NodeName("a"), Why.STAYS))
    assert differs(before, Choice(NodeName("b"), Why.STAYS))
    assert differs(before, Choice(NodeName("a"), Why.STAYS, wish=7))
    assert differs(None, Choice(None, Why.NO_NODE))
    nowhere = Placement(group=G, node=None, reason=Why.NO_NODE.value)
    assert not differs(nowhere, Choice(None, Why.NO_NODE))
    assert differs(nowhere, Choice(None, Why.STOPPED))


def test_a_verified_fence_is_relied_on_once_a_living_owner_would_have_renewed() -> None:
    """Whoever was ordered off by an operator renewed a moment before; a fence on the wrong plug does not end that."""
    seen = known(group("g"), owned={"g": "a"}, fences={"a": FenceState.VERIFIED}, tables=FENCE)
    said = word(seen, g="b")["g"].decision
    assert isinstance(said, Wait)
    assert said.reason is Reason.FENCE_UNCONTRADICTED
    assert said.until == NOW - 1 + seen.timing.renew + OVERDUE


def test_a_fence_that_missed_its_node_is_no_fence() -> None:
    for missed, kind in ((frozenset(), OrderFence), (frozenset({NodeName("a")}), AskOperator)):
        seen = replace(known(group("g"), owned={"g": "a"}, silent="a", tables=FENCE), missed=missed)
        assert isinstance(word(seen, g="b")["g"].decision, kind)


def test_a_node_that_is_just_reached_again_is_given_time_to_renew_before_a_fence_is_ordered() -> None:
    for since, reason in ((NOW - 1, Reason.OWNER_REACHED_AGAIN), (NOW - 30, Reason.SESSION_UNRENEWED)):
        seen = replace(known(group("g"), owned={"g": "a"}, silent="a", tables=FENCE), reached={NodeName("a"): since})
        assert word(seen, g="b")["g"].decision.reason is reason


def test_that_a_machine_came_back_is_named_only_where_there_is_no_better_proof() -> None:
    """A copy of a virtual machine comes back just so, while its original may live."""
    seen = known(group("g"), owned={"g": "a"}, fences={"a": FenceState.VERIFIED}, tables=FENCE)
    name = NodeName("a")
    record = seen.look.owners[G].record.model_copy(update={"machine_id": "m"})
    look = replace(
        seen.look,
        owners={G: replace(seen.look.owners[G], record=record)},
        sessions={
            **seen.look.sessions,
            name: SessionSeen(Session(node=name, boot_id="c", machine_id="m"), 40, 540),
        },
    )
    sightings = {**seen.sightings, name: Sighting(540, NOW - 1, 40, NOW - 1)}
    for fences, basis in ((seen.fences, Basis.FENCED), ({}, Basis.RESTARTED)):
        back = replace(seen, look=look, sightings=sightings, fences=fences)
        decision = word(back, g="b")["g"].decision
        assert isinstance(decision, Take)
        assert (decision.reason, decision.basis) == (Reason.OWNER_RESTARTED, basis)
