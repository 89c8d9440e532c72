"""What the agent does with one instance: one table, and the back-off's shape."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cluster.names import Seconds
from appliance.engines.base import Change
from nodeagent.agent.supervise import (
    ATTEMPTS_UNTIL_FAILED,
    CRASHES_UNTIL_FAILING,
    Action,
    Backoff,
    Seen,
    State,
    decide,
    is_failing,
    tell,
)
from nodeagent.resources.units import UnitState

RUNNING = UnitState("active", "running", main_pid=10, started=5.0)
DEAD = UnitState("inactive", "dead")
FAILED = UnitState("failed", "failed", result="exit-code")
ACTIVATING = UnitState("activating", "start")
AUTO_RESTART = UnitState("activating", "auto-restart")
NOW = 100.0
LATER = Backoff(attempts=2, not_before=NOW + 1)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(Seen(False, RUNNING), Action.STOP, id="unwanted is stopped"),
        pytest.param(Seen(False, DEAD), Action.NOTHING, id="unwanted and dead"),
        pytest.param(Seen(True, DEAD), Action.START, id="dead is started"),
        pytest.param(Seen(True, FAILED), Action.START, id="failed is started again"),
        pytest.param(Seen(True, FAILED, backoff=LATER), Action.WAIT, id="back-off holds a start"),
        pytest.param(Seen(True, ACTIVATING), Action.WAIT, id="settling is left alone"),
        pytest.param(Seen(True, AUTO_RESTART), Action.WAIT, id="systemd's own restart is left alone"),
        pytest.param(Seen(True, RUNNING), Action.NOTHING, id="well is left alone"),
        pytest.param(Seen(True, RUNNING, Change.RELOAD), Action.RELOAD, id="new files are loaded"),
        pytest.param(Seen(True, RUNNING, Change.RESTART), Action.RESTART, id="new files that need a restart"),
        pytest.param(Seen(True, RUNNING, restart_asked=True), Action.RESTART, id="an operator asked"),
        pytest.param(Seen(True, RUNNING, failed_probes=2), Action.NOTHING, id="two lost answers are no hang"),
        pytest.param(Seen(True, RUNNING, failed_probes=3), Action.RESTART, id="a hang is ended"),
        pytest.param(Seen(True, RUNNING, failed_probes=9, backoff=LATER), Action.WAIT, id="a hang, backing off"),
        pytest.param(
            Seen(True, RUNNING, failed_probes=9, excused=True), Action.WAIT, id="a hang that another's illness explains"
        ),
        pytest.param(Seen(True, RUNNING, overloaded=True), Action.NOTHING, id="who is overloaded is left alone"),
        pytest.param(Seen(True, RUNNING, failed_probes=3, overloaded=True), Action.RESTART, id="overloaded and hung"),
        pytest.param(Seen(True, RUNNING, Change.RELOAD, overloaded=True), Action.RELOAD, id="a raised limit is loaded"),
        pytest.param(Seen(True, RUNNING, restart_asked=True, excused=True), Action.RESTART, id="excused, asked for"),
    ],
)
def test_one_action_for_what_is_seen(seen: Seen, expected: Action) -> None:
    assert decide(seen, NOW) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(True, RUNNING), State.RUNNING),
        (Seen(True, RUNNING, failed_probes=1), State.UNHEALTHY),
        (Seen(True, RUNNING, overloaded=True), State.OVERLOADED),
        (Seen(True, RUNNING, failed_probes=1, overloaded=True), State.UNHEALTHY),
        (Seen(False, RUNNING), State.STOPPED),
        (Seen(True, DEAD), State.STARTING),
        (Seen(True, FAILED, backoff=Backoff(1, NOW)), State.BACKING_OFF),
        (Seen(True, FAILED, backoff=Backoff(3, NOW)), State.FAILED),
    ],
)
def test_what_the_operator_is_told(seen: Seen, expected: State) -> None:
    assert tell(seen) == expected


@given(attempts=st.integers(1, 200), base=st.floats(0.1, 10), most=st.floats(10, 600))
def test_back_off_grows_and_stays_within_its_bound(attempts: int, base: float, most: float) -> None:
    backoff, pauses = Backoff(), []
    for _ in range(attempts):
        backoff = replace(backoff, not_before=0.0).after_attempt(0.0, Seconds(base), Seconds(most))
        pauses.append(backoff.not_before)
    assert pauses == sorted(pauses)
    assert pauses[-1] <= most
    assert backoff.attempts == attempts


@pytest.mark.parametrize(
    ("attempts", "crashes", "failing"),
    [
        (ATTEMPTS_UNTIL_FAILED - 1, CRASHES_UNTIL_FAILING - 1, False),
        (ATTEMPTS_UNTIL_FAILED, 0, True),
        (0, CRASHES_UNTIL_FAILING, True),
    ],
)
def test_what_restarts_do_not_help_is_told_as_failing(attempts: int, crashes: int, failing: bool) -> None:
    assert is_failing(attempts, crashes) is failing
