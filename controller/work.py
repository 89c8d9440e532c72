"""Scheduled work that belongs to groups: the leader orders each run once, when it is due.

The records are in appliance/cluster/work.py. An order is a record that is created, so two leaders cannot order one run
twice. The owner's agent begins and ends it (appliance/ownership/work.py); a run that was begun by a session that owns
the group no more is told as lost. Of times that went by unnoticed, only the latest is made up for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.cluster import keys
from appliance.cluster.names import GroupName, Seconds
from appliance.cluster.work import ON_DEMAND, OVER, Run, RunState, Work, expand
from appliance.coordination.store import Delete, Field, Guard, Put
from controller.cases import Known
from controller.election import Led
from controller.events import DecisionLog
from controller.view import Seen

#: How often it is looked at.
EVERY = Seconds(5.0)
#: Work that never ran is ordered for a time at most so long ago: it may have been written after that time.
_GRACE = timedelta(minutes=2)
_YEAR = 366


@dataclass(frozen=True)
class Schedule:
    """The five fields of crontab(5)."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read what `appliance.cluster.work.crontab` has checked; raise BadInput."""
        minute, hour, day, month, weekday = text.split()
        return cls(
            expand(minute, 0, 59),
            expand(hour, 0, 23),
            expand(day, 1, 31),
            expand(month, 1, 12),
            frozenset(number % 7 for number in expand(weekday, 0, 7)),
            not day.startswith("*") and not weekday.startswith("*"),
        )

    def latest(self, now: datetime, after: datetime) -> datetime | None:
        """The latest time that is due at `now` and later than `after`; both with a time zone, in which it counts."""
        for back in range(_YEAR):
            day = now - timedelta(days=back)
            if day.date() < after.astimezone(now.tzinfo).date():
                return None
            if self._on(day):
                due = self._latest_on(day, now)
                if due is not None:
                    return due if due > after else None
        return None

    def _on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.either else by_date and by_weekday

    def _latest_on(self, day: datetime, now: datetime) -> datetime | None:
        for hour in sorted(self.hours, reverse=True):
            for minute in sorted(self.minutes, reverse=True):
                due = day.replace(hour=hour, minute=minute, second=0, microsecond=0)
                if due <= now:
                    return due
        return None


def due(work: Work, runs: Mapping[str, Run], now: datetime) -> datetime | None:
    """The time for which a run has to be ordered now, or None. While one is under way, none is."""
    if any(run.state not in OVER for run in runs.values()):
        return None
    latest = max((run.due for run in runs.values()), default=None)
    if work.once is not None and now >= work.once and (latest is None or latest < work.once):
        return work.once
    if work.cron is None:
        return None
    return Schedule.parse(work.cron).latest(now, latest if latest is not None else now - _GRACE)


def run_id(at: datetime) -> str:
    """A run's name: sorts by time, and two leaders give it alike."""
    return f"{int(at.timestamp()):012d}"


def lost(known: Known) -> Iterator[Seen[Run]]:
    """Runs that were begun by a session that owns the group no more."""
    for seen in known.view.table(keys.RUNS).values():
        run: Run = seen.fact
        owner = known.look.owners.get(run.group)
        mine = owner is not None and (owner.record.node, owner.record.session_epoch) == (run.owner, run.session_epoch)
        if run.state is RunState.RUNNING and not mine and run.group not in known.look.unreadable_owners:
            yield seen


def excess(known: Known) -> Iterator[Seen[Run]]:
    """Runs beyond what is kept of each work's history, and orders of work that nobody wants any more."""
    works = {(seen.fact.group, seen.fact.name): seen.fact for seen in known.view.table(keys.WORK).values()}
    for key, runs in _by_work(known).items():
        work = works.get(key)
        if work is None:
            unwanted = (seen for seen in runs if seen.fact.kind not in ON_DEMAND)
            yield from (seen for seen in unwanted if seen.fact.state is RunState.ORDERED)
            continue
        over = sorted((seen for seen in runs if seen.fact.state in OVER), key=lambda seen: seen.fact.id)
        yield from over[: -work.keep]


def _by_work(known: Known) -> dict[tuple[GroupName, str], list[Seen[Run]]]:
    found: dict[tuple[GroupName, str], list[Seen[Run]]] = {}
    for seen in known.view.table(keys.RUNS).values():
        found.setdefault((seen.fact.group, seen.fact.work), []).append(seen)
    return found


@dataclass
class WorkDesk:
    """The leader's orders."""

    log: DecisionLog
    _next: float = 0.0

    def step(self, led: Led, known: Known, now: float) -> None:
        """Order what is due, once every few seconds. Raises StoreUnavailable."""
        if now < self._next:
            return
        self._next = now + EVERY
        local = datetime.now().astimezone()
        runs = _by_work(known)
        for seen in known.view.table(keys.WORK).values():
            work: Work = seen.fact
            history = {each.fact.id: each.fact for each in runs.get((work.group, work.name), ())}
            at = due(work, history, local)
            if at is not None and work.group in known.all_groups:
                self._order(led, work, at)
        for lost_run in list(lost(known)):
            self._lose(led, lost_run, local)
        for old in list(excess(known)):
            key = keys.run(old.fact.group, old.fact.work, old.fact.id)
            led.write([Guard(key, Field.MOD_REVISION, old.revision)], [Delete(key)])

    def _order(self, led: Led, work: Work, at: datetime) -> None:
        run = Run(
            group=work.group,
            work=work.name,
            id=run_id(at),
            kind=work.kind,
            due=at,
            parameters=work.parameters,
            patience=work.patience,
        )
        key = keys.run(run.group, run.work, run.id)
        if led.write([Guard(key, Field.CREATE_REVISION, 0)], [Put(key, run.model_dump_json())]).succeeded:
            self.log.tell("event-work-ordered", group=work.group, facts={"work": work.name})

    def _lose(self, led: Led, seen: Seen[Run], now: datetime) -> None:
        run: Run = seen.fact
        gone = run.model_copy(update={"state": RunState.LOST, "ended": now})
        key = keys.run(run.group, run.work, run.id)
        if led.write([Guard(key, Field.MOD_REVISION, seen.revision)], [Put(key, gone.model_dump_json())]).succeeded:
            self.log.tell("event-work-lost", group=run.group, node=run.owner, facts={"work": run.work}, grave=True)
