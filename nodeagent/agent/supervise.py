"""What to do with one instance, as a pure function of what is seen. Table-tested.

wanted  unit            probes        -> action
no      running                          STOP
no      not running                      NOTHING
yes     settling                         WAIT
yes     not running     back-off over    START
yes     not running     backing off      WAIT
yes     running         restart asked    RESTART
yes     running         new files        RELOAD or RESTART, as the engine says
yes     running         hung, excused    WAIT (what it needs is ill, or not heard since)
yes     running         hung             RESTART (with back-off)
yes     running         overloaded       NOTHING (its failures do not count: a restart would throw out who is served)
yes     running         well             NOTHING
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from appliance.cluster.names import Seconds
from appliance.engines.base import Change
from nodeagent.resources.units import UnitState

#: So many failed attempts in a row, and the service is reported as failed (attempts go on, ever more slowly).
ATTEMPTS_UNTIL_FAILED = 3
#: So many crashes since it last stayed up: systemd's own restarts are quick, and an engine that lives for seconds
#: each time never needs an attempt of the agent's.
CRASHES_UNTIL_FAILING = 5
#: A probe that fails so often in a row means that the engine hangs.
PROBE_FAILURES_UNTIL_HUNG = 3


class Action(StrEnum):
    NOTHING = "nothing"
    WAIT = "wait"
    START = "start"
    STOP = "stop"
    RELOAD = "reload"
    RESTART = "restart"


class State(StrEnum):
    """What is told to the operator."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    UNHEALTHY = "unhealthy"
    OVERLOADED = "overloaded"
    BACKING_OFF = "backing-off"
    FAILED = "failed"
    STANDBY = "standby"


@dataclass(frozen=True)
class Backoff:
    """Attempts in a row without a healthy spell, and when the next may come (monotonic seconds)."""

    attempts: int = 0
    not_before: float = 0.0

    def after_attempt(self, now: float, base: Seconds, most: Seconds) -> Backoff:
        """One attempt more: the pause doubles from `base` up to `most` seconds."""
        pause = min(most, base * 2 ** min(self.attempts, 16))
        return replace(self, attempts=self.attempts + 1, not_before=now + pause)


@dataclass(frozen=True)
class Seen:
    """One instance at one moment. `excused`: its failed probes may be the fault of an instance that it needs.
    `overloaded`: it has no process left for a probe."""

    wanted: bool
    unit: UnitState
    pending: Change = Change.NONE
    restart_asked: bool = False
    failed_probes: int = 0
    backoff: Backoff = Backoff()
    excused: bool = False
    overloaded: bool = False


def decide(seen: Seen, now: float) -> Action:
    """Choose the one thing to do now."""
    if not seen.wanted:
        return Action.STOP if seen.unit.is_running else Action.NOTHING
    if seen.unit.is_settling:
        return Action.WAIT
    if not seen.unit.is_running:
        return Action.START if now >= seen.backoff.not_before else Action.WAIT
    if seen.restart_asked or seen.pending is Change.RESTART:
        return Action.RESTART
    if seen.failed_probes >= PROBE_FAILURES_UNTIL_HUNG:
        return Action.WAIT if seen.excused or now < seen.backoff.not_before else Action.RESTART
    return Action.RELOAD if seen.pending is Change.RELOAD else Action.NOTHING


def tell(seen: Seen) -> State:
    """What the operator is told of it."""
    if not seen.wanted:
        return State.STOPPED
    if seen.unit.is_running:
        if seen.failed_probes:
            return State.UNHEALTHY
        return State.OVERLOADED if seen.overloaded else State.RUNNING
    if seen.backoff.attempts >= ATTEMPTS_UNTIL_FAILED:
        return State.FAILED
    if seen.unit.is_settling or not seen.backoff.attempts:
        return State.STARTING
    return State.BACKING_OFF


def is_failing(attempts: int, crashes: int) -> bool:
    """Whether neither the agent's `attempts` nor the restarts after `crashes` have helped, all since it was last well
    for a while. Another node may do better; that is the controller's to decide.
    """
    return attempts >= ATTEMPTS_UNTIL_FAILED or crashes >= CRASHES_UNTIL_FAILING
