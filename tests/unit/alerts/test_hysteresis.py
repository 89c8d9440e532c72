"""What is told of conditions that come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.alerts.hysteresis import Alarms, Kind, Patience
from appliance.cluster.names import Seconds
from appliance.cluster.report import Notice

DOWN = {"mail": Notice(key="alert-mail-down")}
PATIENCE = Patience(Seconds(30), Seconds(60), Seconds(3600))


def told(times: dict[float, bool], patience: Patience = PATIENCE) -> list[tuple[float, Kind]]:
    """Run through moments at which the condition stands or not; what was told when."""
    alarms, found = Alarms(), []
    for now, stands in sorted(times.items()):
        alarms, messages = alarms.step(DOWN if stands else {}, now, patience)
        found += [(now, each.kind) for each in messages]
    return found


def test_what_stands_is_told_once_then_rarely_and_its_end_once() -> None:
    times = {float(now): now < 4000 for now in range(0, 5000, 10)}
    assert told(times) == [(30.0, Kind.RAISED), (3630.0, Kind.STILL), (4060.0, Kind.CLEARED)]


def test_a_restart_that_helps_is_not_told() -> None:
    assert told({float(now): now < 25 for now in range(0, 300, 5)}) == []


def test_what_flickers_while_it_is_told_is_one_alarm() -> None:
    times = {float(now): now % 50 != 0 for now in range(5, 1000, 5)}
    assert [kind for _, kind in told(times)] == [Kind.RAISED]


@given(st.dictionaries(st.floats(0, 10_000), st.booleans(), max_size=60))
def test_raised_and_cleared_take_turns(times: dict[float, bool]) -> None:
    kinds = [kind for _, kind in told(times) if kind is not Kind.STILL]
    assert kinds == [Kind.RAISED if number % 2 == 0 else Kind.CLEARED for number in range(len(kinds))]
