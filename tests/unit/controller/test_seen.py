"""What a controller believes of what it sees: observers, sessions, leaders, records, timing."""

from __future__ import annotations

import json

import pytest

from appliance.cluster import keys
from appliance.cluster.decided import Observation, ProtocolTiming
from appliance.cluster.model import SCHEMA_VERSION, Session
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.timing import FenceMode, Timing
from appliance.coordination.store import Event, Record
from appliance.errors import BadInput
from appliance.ownership.records import SessionSeen, session_seen
from appliance.ownership.taker import OVERDUE, SILENT_AFTER, Sighting
from controller import observers
from controller.controller import Eyes
from controller.election import LeaderSeen, observe, silent
from controller.protocol_timing import timing_of
from controller.view import Look, Looker, Seen, View, Viewer

A, B, C, D = map(NodeName, "abcd")
TIMING = Timing()


def said(observer: NodeName, *unanswered: NodeName) -> Observation:
    return Observation(observer=observer, unanswered=frozenset(unanswered))


def test_since_when_counts_from_when_this_controller_saw_it() -> None:
    first = observers.failing({}, [said(B, A)], [A, B, C], 10.0)
    second = observers.failing(first, [said(B, A), said(C, A)], [A, B, C], 12.0)
    assert second == {A: {B: 10.0, C: 12.0}}
    assert observers.failing(second, [said(C, A)], [A, B, C], 13.0) == {A: {C: 12.0}}


def test_an_observer_that_is_not_renewed_counts_for_nothing() -> None:
    assert observers.failing({}, [said(B, A)], [A, C], 10.0) == {}


def test_an_observer_that_reaches_less_than_half_of_the_others_counts_for_nothing() -> None:
    assert observers.failing({}, [said(A, B, C)], [A, B, C], 10.0) == {}
    assert observers.failing({}, [said(A, B)], [A, B, C], 10.0) == {B: {A: 10.0}}
    halves = [said(A, C, D), said(B, C, D), said(C, A, B), said(D, A, B)]
    assert observers.failing({}, halves, [A, B, C, D], 10.0) == {}


@pytest.mark.parametrize(
    ("sighting", "expected"),
    [
        (Sighting(7, 97.0, 5, 1.0), True),
        (Sighting(7, 95.0, 5, 1.0), False),  # not renewed for D
        (Sighting(0, 99.0, 0, 99.0), False),  # no session
        (Sighting(7, 50.0, 5, 50.0), False),
    ],
)
def test_a_node_may_get_a_group_when_it_was_seen_to_renew(sighting: Sighting, expected: bool) -> None:
    usable = observers.usable({A: sighting}, {}, began=60.0, read_at=100.0, timing=TIMING)
    assert usable == ([A] if expected else [])


def test_a_session_that_was_there_at_the_first_look_may_be_a_dead_nodes() -> None:
    seen = {A: Sighting(7, 100.0, 5, 100.0)}
    assert observers.usable(seen, {}, began=100.0, read_at=101.0, timing=TIMING) == []


def test_a_node_that_somebody_cannot_reach_gets_no_group() -> None:
    seen = {A: Sighting(7, 99.0, 5, 1.0)}
    assert observers.usable(seen, {A: {B: 99.5}}, began=60.0, read_at=100.0, timing=TIMING) == []


def test_a_leader_is_silent_after_two_and_a_half_seconds_without_a_renewal() -> None:
    seen = observe(None, 7, 10.0)
    assert observe(seen, 7, 12.0) is seen
    assert observe(seen, 8, 12.0) == LeaderSeen(8, 12.0)
    assert not silent(seen, seen.since + 2.4)
    assert silent(seen, seen.since + 2.5)


def test_events_sort_by_time_then_by_order() -> None:
    written = [keys.event(at, A, number) for at, number in ((1.0, 1), (1.0, 2), (1.001, 3), (20_000_000_000.0, 4))]
    assert written == sorted(written)


def record(key: str, value: str, revision: int = 1) -> Record:
    return Record(key, value, revision, revision)


def test_the_view_follows_records_and_keeps_those_it_cannot_read_apart() -> None:
    viewer = Viewer()
    group = keys.group(GroupName("one"))
    viewer.load(keys.PREFIX, [record(group, '{"name": "one"}'), record(keys.node(A), "garbage")])
    assert set(viewer.view.table(keys.GROUPS)) == {"one"}
    assert viewer.view.unreadable == {keys.node(A)}
    same = viewer.view
    assert viewer.view is same
    viewer.apply([Event(group, None, 7), Event(keys.node(A), None, 8)])
    assert not viewer.view.table(keys.GROUPS)
    assert not viewer.view.unreadable


def test_the_view_knows_settings_of_the_whole_system() -> None:
    viewer = Viewer()
    key = keys.setting("system", "-", "controller.moves_at_once")
    viewer.load(keys.PREFIX, [record(key, "9"), record(keys.setting("node", "a", "x.y"), "1")])
    assert viewer.view.settings == {"controller.moves_at_once": "9"}


def test_what_is_loaded_anew_replaces_everything() -> None:
    viewer = Viewer()
    viewer.load(keys.PREFIX, [record(keys.group(GroupName("one")), '{"name": "one"}')])
    viewer.load(keys.PREFIX, [])
    assert viewer.view == View({prefix: {} for prefix in viewer.view.tables})


def timing(**more: float) -> View:
    return View({keys.TIMING: {"": Seen(ProtocolTiming.model_validate(more), 1)}})


def test_the_installations_timing_is_used_and_a_broken_one_refused() -> None:
    assert timing_of(View()) == Timing()
    assert timing_of(timing(renew=1.0)).renew == 1.0
    with pytest.raises(BadInput):
        timing_of(timing(renew=4.0))
    said = ProtocolTiming(mode=FenceMode.WATCHDOG)
    with pytest.raises(BadInput):  # T is too short where the watchdog is the only proof
        timing_of(View({keys.TIMING: {"": Seen(said, 1)}}))


def session_of_schema(version: int) -> str:
    return json.dumps({**Session(node=A, boot_id="b").model_dump(), "schema_version": version, "more": {"x": 1}})


def test_a_session_of_the_next_release_is_read_and_what_it_adds_passed_over() -> None:
    text = session_of_schema(SCHEMA_VERSION + 1)
    found, unreadable = Looker()._sort([record(keys.session(A), text)], keys.SESSIONS, {}, session_seen)
    assert found.keys() == {A}
    assert unreadable == frozenset()


def test_a_session_of_a_still_newer_release_is_not_taken_for_an_absent_one() -> None:
    text = session_of_schema(SCHEMA_VERSION + 2)
    found, unreadable = Looker()._sort([record(keys.session(A), text)], keys.SESSIONS, {}, session_seen)
    assert found == {}
    assert unreadable == {A}


def test_after_the_store_was_away_each_node_is_given_its_time_to_renew() -> None:
    """Nobody could renew meanwhile: that a session stood still for long is no silence of its node's."""
    eyes = Eyes()
    sessions = {A: SessionSeen(Session(node=A, boot_id="b"), 11, 511)}
    for at in (100.0, 101.0, 102.0):
        eyes.take(Look(at, sessions), [], TIMING)
    assert eyes.reached == {A: 100.0}
    eyes.take(Look(130.0, sessions), [], TIMING)
    assert eyes.reached == {A: 130.0}


def test_a_controller_looks_again_just_when_a_silence_has_lasted_long_enough() -> None:
    eyes = Eyes()
    sessions = {name: SessionSeen(Session(node=name, boot_id="b"), 11, 511) for name in (A, B, C)}
    eyes.take(Look(100.0, sessions), [], TIMING)
    assert list(eyes.silences(TIMING)) == []
    eyes.take(Look(101.0, sessions), [said(B, A), said(C, A)], TIMING)
    assert set(eyes.silences(TIMING)) == {101.0 + SILENT_AFTER, 100.0 + TIMING.renew + OVERDUE}
