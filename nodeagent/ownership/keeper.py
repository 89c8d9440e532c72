"""The keeper's loop: renew the session, take what should be taken, drop what must be dropped.

Implements the owner's side of docs/developers/takeover.md. The loop waits for nothing but its own inbox: the store is
called, and groups are mounted and ended, in threads that put what became of it there. t0, the moment the last good
renewal was *sent*, is the only base of the deadline.
"""

from __future__ import annotations

import json
import logging
import queue
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from appliance.clock import boottime
from appliance.cluster import keys
from appliance.cluster.decided import ProtocolTiming
from appliance.cluster.model import Session
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Outcome, Record, Store
from appliance.ownership import owner
from appliance.ownership.owner import Identity
from appliance.ownership.records import SessionSeen, UnreadableRecord, session_seen
from appliance.ownership.transactions import Transaction
from nodeagent.ownership import memory
from nodeagent.ownership.chronicle import Chronicle
from nodeagent.ownership.exclusive import Exclusive
from nodeagent.ownership.follow import Follower, View
from nodeagent.ownership.forks import Forks
from nodeagent.ownership.healing import Hearing
from nodeagent.ownership.lane import Lane, StoreLane
from nodeagent.ownership.machine import Machine
from nodeagent.ownership.shared import Shared, told
from nodeagent.ownership.side_jobs import ExclusiveAddresses, SideJobs, StandbyVolumes
from nodeagent.ownership.timings import Timings
from nodeagent.resources.cgroups import kill_group, populated_groups

log = logging.getLogger("posthouse.keeper")

#: After a renewal that did not go well.
_RETRY = Seconds(0.2)
#: Between two sweeps, and between two reports while nothing happens.
_SWEEP = Seconds(2.0)


class Keeper:
    """Owns groups for one node. `begin` once, then `step` for ever; `close` ends its threads and drops nothing."""

    def __init__(
        self,
        node: NodeName,
        connect: Callable[[], Store],
        timing: ProtocolTiming,
        *,
        only_voter: bool,
        adopt_after: Seconds = Seconds(20.0),
        machine: Machine | None = None,
        forks: Forks | None = None,
        release: str = "",
    ) -> None:
        machine = self._machine = machine or Machine.this()
        self._node = node
        self._adopt_after = adopt_after
        self._began = boottime()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._forks = forks or Forks()
        self._disk = Lane("disk")
        self._timings = Timings(timing, self._disk.put)
        self._renewals = StoreLane("session", connect, self._inbox.put)
        self._writes = StoreLane("owner records", connect, self._inbox.put)
        self._quick = SideJobs("addresses", node, self._forks, self._inbox.put)
        self._slow = SideJobs("announcements and looks", node, self._forks, self._inbox.put)
        self._standby_volumes = StandbyVolumes(self._slow)
        self._hearing = Hearing()
        self._follower = Follower(node, connect, self._post_view, lambda: self._timings.timing.reply)
        self._chronicle = Chronicle(node, connect)
        self._exclusive = Exclusive(
            node,
            self._writes,
            self._disk,
            ExclusiveAddresses(self._quick, self._slow, self._disk),
            only_voter=only_voter,
        )
        me = Identity(
            node,
            machine.boot_id,
            machine.machine_id,
            self._timings.timing,
            self._timings.mode,
            watchdog=machine.watchdog is not None,
        )
        self._shared = Shared(
            me,
            self._inbox.put,
            writes=self._writes,
            forks=self._forks,
            watchdog=machine.timer,
            chronicle=self._chronicle,
        )
        self._renew_at = self._began
        self._asking = self._failing = False
        #: A session of another boot under this node's name: its revision, and since when it is seen so.
        self._foreign: tuple[int, float] | None = None
        self._copied = False
        self._only_voter = only_voter
        self._swept = self._reported = 0.0
        self._killed: frozenset[GroupName] = frozenset()
        self._release = release  # of this process, whatever is installed by now
        #: Another release was installed, whose keeper waits for this one to end.
        self.superseded = False

    # --- its life -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take over the exclusive groups of an earlier keeper of this boot, and end everything else it left.

        What was not exclusive cannot be trusted after a gap of unknown length.
        """
        for lane in self._lanes:
            lane.start()
        self._exclusive.begin()
        self._shared.begin(frozenset(self._exclusive.held))
        self._report()

    def step(self) -> None:
        """Wait for news, no longer than until something is due, and carry out what follows from it."""
        for news in self._news(self._pause()):
            try:
                news()
            except OSError as error:
                log.error("the keeper goes on: %s", error)
        self._shared.tick()
        self._renew_if_due()
        self._shared.act()
        if self._shared.look_now:
            self._shared.look_now = False
            self._follower.ring()
        if boottime() - self._swept >= _SWEEP:
            self._sweep()
        self._report()

    def leave(self) -> bool:
        """Give every shared group away in order; to be called again until it is True."""
        self._shared.leave()
        return not self._shared.state.holdings

    @property
    def may_be_followed(self) -> bool:
        """Whether another release's keeper may begin: it would end every shared group that this one holds."""
        return self.superseded and self._shared.state.clean and not self._shared.state.holdings

    def wake(self) -> None:
        """Let a `step` that waits go on; from any thread or signal handler."""
        self._inbox.put(lambda: None)

    def close(self) -> None:
        """End the threads. What runs and is mounted stays so."""
        for lane in self._lanes:
            lane.end()
        for lane in self._lanes:
            lane.join(2.0)
        self._forks.close()

    @property
    def _lanes(self) -> tuple[Lane | Follower, ...]:
        return (self._disk, self._renewals, self._writes, self._chronicle, self._follower, self._quick, self._slow)

    def _news(self, pause: Seconds) -> list[Callable[[], None]]:
        news = []
        try:
            news.append(self._inbox.get(timeout=pause))
            while True:
                news.append(self._inbox.get_nowait())
        except queue.Empty:
            return news

    def _pause(self) -> Seconds:
        now = boottime()
        due = [now + _SWEEP]
        ends = owner.deadline(self._shared.state, self._shared.me)
        if ends is not None and ends > now:
            due.append(ends)
        if not self._asking:
            due.append(self._renew_at)
        return Seconds(max(0.0, min(due) - now))

    # --- the session --------------------------------------------------------------------------------------

    def _renew_if_due(self) -> None:
        if self._shared.renew_now:
            self._shared.renew_now, self._renew_at = False, 0.0
        if self._asking or boottime() < self._renew_at:
            return
        if self._shared.state.epoch is None:
            self._open()
            return
        self._shared.state, transaction = owner.renewal(self._shared.state, boottime(), self._shared.me)
        self._send(transaction, self._answered)

    def _open(self) -> None:
        """Read the session that a former keeper of this node may have left, end it, and open another."""
        patience = owner.patience(self._shared.state, boottime(), self._shared.me)

        def read(store: Store) -> list[Record]:
            record = store.get(keys.session(self._node), deadline=patience)
            return [record] if record is not None else []

        def found(records: list[Record] | None) -> None:
            self._asking = False
            opening = None
            seen = _session(records[0], self._node) if records else None
            if seen is not None and not self._may_end(seen):
                self._renew_at = boottime() + _RETRY
                return
            if records is not None:
                opening = owner.opening(self._shared.state, seen, boottime(), self._shared.me)
            if opening is None:
                self._renewal_failed()
                return
            self._shared.state, transaction = opening
            self._send(transaction, self._answered if self._shared.state.flight else self._closed)

        self._asking = True
        self._renewals.ask(read, found)

    def _may_end(self, seen: SessionSeen) -> bool:
        """Whether a session of this node's name is a dead one.

        One of this boot is: a keeper before this one opened it. One of another boot may be that of a machine that goes
        by the same name and lives, a copy of this one: to end it would let its groups be given away while they are
        served. It is a dead one's when it has stood still for D. A store of this node alone has no other writer.
        """
        same = (seen.record.boot_id, seen.record.machine_id) == (self._machine.boot_id, self._machine.machine_id)
        if same or self._only_voter:
            return True
        if self._foreign is None or self._foreign[0] != seen.revision:
            if self._foreign is not None and not self._copied:
                self._copied = True
                log.critical("another machine lives under the name %s: this one takes nothing beside it", self._node)
            self._foreign = seen.revision, boottime()
        return boottime() - self._foreign[1] >= self._timings.timing.demote

    def _send(self, transaction: Transaction, answer: Callable[[Outcome | None], None]) -> None:
        patience = owner.patience(self._shared.state, boottime(), self._shared.me)

        def send(store: Store) -> Outcome:
            return transaction.send(store, patience)

        self._asking = True
        self._renewals.ask(send, answer)

    def _closed(self, outcome: Outcome | None) -> None:
        self._asking = False
        self._renew_at = boottime() + (_RETRY if outcome is None else 0.0)

    def _answered(self, outcome: Outcome | None) -> None:
        self._asking = False
        flight, before = self._shared.state.flight, self._shared.state
        self._shared.answered(outcome)
        after = self._shared.state
        if flight is None or after.renewed != flight.sent:
            self._renewal_failed()
            return
        self._renew_at = flight.sent + self._timings.timing.renew
        if before.epoch != after.epoch:
            log.info("session opened, epoch %d", after.epoch or 0)
        if before.epoch != after.epoch or self._failing or not self._shared.settled:
            self._follower.ring()
        if self._failing:
            self._failing = False
            self._announce()

    def _renewal_failed(self) -> None:
        self._renew_at = boottime() + _RETRY
        self._failing = True
        if boottime() - self._began >= self._adopt_after:
            self._exclusive.adopt()

    def _announce(self) -> None:
        """Links may have healed: who was cut off has to hear where the addresses are."""
        self._shared.announce()
        self._exclusive.addresses.announce()

    # --- groups -------------------------------------------------------------------------------------------

    def _post_view(self, view: View) -> None:
        self._inbox.put(lambda: self._look(view))

    def _look(self, view: View) -> None:
        self._timings.seen(view.timing)
        shared = self._shared
        if not shared.state.holdings and self._timings.change():
            shared.me = replace(shared.me, timing=self._timings.timing, mode=self._timings.mode)
        if shared.state.epoch is None:
            return
        self._exclusive.look(view, shared.state.epoch, self._timings.timing.reply, shared.state.holdings)
        alone = {
            name for name, group in view.groups.items() if group is not None and group.held_exclusively_by(self._node)
        }
        mine = alone | self._exclusive.held.keys() | self._exclusive.addresses.leaving
        shared.look(view, frozenset(mine))
        self._look_beside(view)
        if any(group is not None and group.name not in alone for group in view.groups.values()):
            self._warm()

    def _look_beside(self, view: View) -> None:
        """What is no part of the protocol: who is heard again, and whether what may come here could be taken."""
        timing = self._timings.timing
        if back := self._hearing.back(view.sessions, boottime(), renew=timing.renew, silence=timing.demote):
            log.info("heard again: %s; addresses are announced", ", ".join(sorted(back)))
            self._announce()
        here = self._exclusive.held.keys() | self._shared.state.holdings.keys()
        found = {name: group for name, group in view.groups.items() if group is not None and name not in here}
        node = view.node
        self._standby_volumes.look(
            {name: group for name, group in found.items() if node is not None and group.may_run_on(node)}
        )

    def _warm(self) -> None:
        """There are groups that may come here: what their first job needs is loaded now."""
        self._forks.warm()
        self._warm = lambda: None  # type: ignore[method-assign]

    def _sweep(self) -> None:
        """End what runs of groups that are not held: what outlived its drop, or started in the same moment."""
        self._swept = boottime()
        killed = populated_groups() - self._exclusive.held.keys() - self._shared.known
        for group in sorted(killed):
            log.error("processes of group %s run although this node does not own it: they are ended", group)
            try:
                memory.unmark(group)
                kill_group(group, Seconds(0.0))
            except OSError as error:
                log.critical("processes of group %s cannot be ended, it is tried again: %s", group, error)
        for group in killed & self._killed:
            log.critical("processes of group %s did not end yet; they are killed again", group)
        self._killed = killed

    # --- the report ---------------------------------------------------------------------------------------

    def _report(self) -> None:
        said = self._said()
        if said == self._last and boottime() - self._reported < _SWEEP:
            return
        self._last, self._reported = said, boottime()
        renewed = self._shared.state.renewed
        age = None if renewed is None else round(self._reported - renewed, 3)
        try:
            memory.write_atomically(memory.REPORT, json.dumps({**said, "renewed_age": age}))
        except OSError as error:
            log.error("the report was not written, ownership goes on: %s", error)

    _last: dict[str, Any] | None = None

    def _said(self) -> dict[str, Any]:
        groups = self._shared.report()
        serving = {name for name, each in groups.items() if each.get("serving")}
        return {
            "node": self._node,
            "release": self._release,
            "superseded": self.superseded,
            "session_epoch": self._shared.state.epoch,
            "renewed_boottime": self._shared.state.renewed,
            "owned": sorted(serving | self._exclusive.held.keys()),
            "contested": sorted(self._exclusive.contested),
            "groups": groups,
            "address_faults": {name: told(fault) for name, fault in self._exclusive.addresses.faults.items()},
            "standby_volumes": {
                name: told(fault) if fault is not None else None for name, fault in self._standby_volumes.faults.items()
            },
            "watchdog": self._machine.watchdog_kind,
            "watchdog_armed": self._shared.state.armed is not None,
            "timing": self._timings.record.model_dump(mode="json", exclude={"schema_version"}),
            "timing_refused": self._timings.refused,
        }


def _session(record: Record, node: NodeName) -> SessionSeen:
    """Whatever stands there: a session that nobody can read is ended like any other that a former keeper left."""
    try:
        return session_seen(record)
    except UnreadableRecord as error:
        log.error("%s; it is ended", error)
        return SessionSeen(Session(node=node, boot_id=""), record.create_revision, record.mod_revision)
