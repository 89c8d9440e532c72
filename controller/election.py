"""Who leads: one record in the store, renewed by quorum transactions.

Implements "Who may lead" of docs/developers/cluster.md. Another controller takes the leadership when it has seen no
renewal for SILENT on its own clock. Nothing's safety rests on that span, so it is short: the epoch of a leadership is
the record's create revision, and every write of a leader is guarded by it. One that was stopped and wakes up writes
nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from appliance.cluster import keys
from appliance.cluster.decided import Leadership
from appliance.cluster.names import NodeName, Seconds
from appliance.cluster.timing import Timing
from appliance.coordination.store import Delete, Field, Guard, Outcome, Put, Record, Store, StoreUnavailable

log = logging.getLogger("posthouse.controller")

#: Between two renewals of the leadership, and how long another controller must have seen none.
RENEW = Seconds(0.8)
SILENT = Seconds(2.5)


@dataclass(frozen=True)
class LeaderSeen:
    """The leader's record as it stands, and since when it has been seen so."""

    revision: int
    since: float


def observe(before: LeaderSeen | None, revision: int, now: float) -> LeaderSeen:
    """A renewal, or the first look, counts from now."""
    return before if before is not None and before.revision == revision else LeaderSeen(revision, now)


def silent(seen: LeaderSeen, now: float) -> bool:
    """Whether the leader has been seen to do nothing for long enough."""
    return now - seen.since >= SILENT


class Election:
    """One controller's part in it. `clock` is CLOCK_BOOTTIME."""

    def __init__(self, node: NodeName, clock: Callable[[], float]) -> None:
        self._node = node
        self._clock = clock
        self._epoch: int | None = None
        self._sequence = 0
        self._renewed = 0.0
        self._doubted = False
        self._seen: LeaderSeen | None = None

    def epoch(self, timing: Timing) -> int | None:
        """The leadership's epoch, or None while this controller does not lead."""
        if self._epoch is None or self._clock() >= self._renewed + SILENT + timing.reply:
            return None
        return self._epoch

    @property
    def silent_at(self) -> float:
        """When the leader will have been silent for long enough, if nothing more is seen of it; to look just then."""
        return self._seen.since + SILENT if self._epoch is None and self._seen is not None else float("inf")

    def keep(self, store: Store, timing: Timing) -> None:
        """Renew when it is time. Raises StoreUnavailable."""
        if self._epoch is not None and (self._doubted or self._clock() - self._renewed >= RENEW):
            self._renew(store, timing)

    def consider(self, store: Store, timing: Timing, record: Record | None, read_at: float) -> None:
        """Take the leadership if it is free; `record` is the leader's as it was read. Raises StoreUnavailable."""
        if self._epoch is not None:
            return
        if record is None:
            self._seen = None
            self._open(store, timing)
            return
        self._seen = observe(self._seen, record.mod_revision, read_at)
        if silent(self._seen, read_at) or self._is_mine(record):
            guard = Guard(keys.LEADER, Field.MOD_REVISION, record.mod_revision)
            if store.transact([guard], [Delete(keys.LEADER)], deadline=timing.reply).succeeded:
                self._open(store, timing)

    def doubt(self) -> None:
        """A write was refused: renew at once, which tells."""
        self._doubted = True

    def resign(self, store: Store, timing: Timing) -> None:
        """Let another one lead at once."""
        if self._epoch is not None:
            guard = Guard(keys.LEADER, Field.CREATE_REVISION, self._epoch)
            self._epoch = None
            with contextlib.suppress(StoreUnavailable):
                store.transact([guard], [Delete(keys.LEADER)], deadline=timing.reply)

    def _renew(self, store: Store, timing: Timing) -> None:
        sent = self._clock()
        self._sequence += 1
        self._doubted = False
        guard = Guard(keys.LEADER, Field.CREATE_REVISION, self._epoch or 0)
        if store.transact([guard], [self._put()], deadline=timing.reply).succeeded:
            self._renewed = sent
        else:
            log.warning("the leadership was taken over by another controller")
            self._epoch, self._seen = None, None

    def _is_mine(self, record: Record) -> bool:
        """What an earlier process of this node left: systemd runs one at a time, and its writes are guarded."""
        try:
            return Leadership.model_validate_json(record.value).node == self._node
        except ValueError:
            return False

    def _open(self, store: Store, timing: Timing) -> None:
        sent, self._sequence = self._clock(), 0
        outcome = store.transact([Guard(keys.LEADER, Field.CREATE_REVISION, 0)], [self._put()], deadline=timing.reply)
        if outcome.succeeded:
            self._epoch, self._renewed = outcome.revision, sent
            log.info("this controller leads, epoch %d", outcome.revision)

    def _put(self) -> Put:
        return Put(keys.LEADER, Leadership(node=self._node, sequence=self._sequence).model_dump_json())


class NotLeading(Exception):
    """A guarded write was refused because somebody else leads."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Led:
    """The only way in which a leader writes: guarded by its epoch. `renew` is called before each, for long passes."""

    store: Store
    epoch: int
    deadline: Seconds
    renew: Callable[[], None] = _nothing

    def write(self, guards: Iterable[Guard], changes: Sequence[Put | Delete]) -> Outcome:
        """All changes, if the guards hold and this controller still leads. Raises StoreUnavailable."""
        self.renew()
        leading = Guard(keys.LEADER, Field.CREATE_REVISION, self.epoch)
        return self.store.transact([leading, *dict.fromkeys(guards)], changes, deadline=self.deadline)

    def must_write(self, changes: Sequence[Put | Delete]) -> None:
        """Write what only the leadership guards; raise NotLeading when that is over."""
        if not self.write((), changes).succeeded:
            raise NotLeading
