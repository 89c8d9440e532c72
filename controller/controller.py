"""The controller's loop: look, and while leading decide and act.

A controller that does not lead looks all the same, so that when it leads it knows at once since when each node has
been silent. Without an answer of the store, which needs a quorum, nothing is decided.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from appliance.clock import boottime
from appliance.cluster import keys
from appliance.cluster.decided import ControllerReport, FenceCheck, FenceRecord, Placement, PowerOns
from appliance.cluster.model import Fact
from appliance.cluster.names import NodeName, Seconds
from appliance.cluster.report import Notice
from appliance.cluster.timing import Timing
from appliance.coordination.store import Put, Store, StoreUnavailable
from appliance.errors import BadInput, PosthouseError
from appliance.ownership import taker
from appliance.ownership.taker import FenceState, Sightings
from appliance.settings.sections import controller as settings
from controller import alarms, observers
from controller.alarms import Teller
from controller.cases import Known
from controller.election import Election, Led, NotLeading
from controller.events import DecisionLog
from controller.failover import Failover
from controller.fencing.ask import ask
from controller.fencing.checks import FenceChecks
from controller.fencing.desk import FenceDesk
from controller.fencing.progress import Fences
from controller.follow import Follower, Inbox, Whole
from controller.housekeeping import tidy
from controller.observers import Failing
from controller.patience import Patience, cold, hanging, worth_cutting_off
from controller.placement.situation import Policy
from controller.placing import Placing, running, situation
from controller.protocol_timing import timing_of
from controller.view import WATCHED, Look, Looker, Viewer
from controller.work import WorkDesk

log = logging.getLogger("posthouse.controller")

#: Between two looks at most: without the leadership, at rest, and while something is under way.
ASIDE = Seconds(1.0)
AT_REST = Seconds(0.5)
BUSY = Seconds(0.25)
#: Between two looks at least, however often the bell rings.
_SHORTEST = Seconds(0.05)
_READ_ALL = Seconds(10.0)

_Kind = TypeVar("_Kind", bound=Fact)


@dataclass
class Eyes:
    """What a controller has seen with its own eyes, leading or not."""

    looker: Looker = field(default_factory=Looker)
    look: Look | None = None
    began: float | None = None
    sightings: Sightings = field(default_factory=dict)
    fails: Failing = field(default_factory=dict)
    well: dict[NodeName, float] = field(default_factory=dict)
    reached: dict[NodeName, float] = field(default_factory=dict)

    def take(self, look: Look, observations: Any, timing: Timing) -> None:
        """Note one look."""
        now = look.read_at
        self.began = now if self.began is None else self.began
        if self.look is not None and now - self.look.read_at > timing.renew:
            self.reached = {}  # the store was away, and nobody could renew: each is given its time from now
        self.look = look
        self.sightings = taker.observe(self.sightings, look.sessions, look.owners, now)
        fresh = [name for name, seen in self.sightings.items() if observers.renewed(seen, now, timing)]
        self.fails = observers.failing(self.fails, observations, fresh, now)
        usable = observers.usable(self.sightings, self.fails, self.began, now, timing)
        self.well = observers.well(self.well, usable, now)
        self.reached = observers.reached(self.reached, self.sightings, self.fails, now)

    def silences(self, timing: Timing) -> Iterator[float]:
        """When the silence of each node that somebody cannot reach will have lasted long enough to act."""
        for node, observers_ in self.fails.items():
            yield from (since + taker.SILENT_AFTER for since in observers_.values())
            if node in self.sightings:
                yield self.sightings[node].since + timing.renew + taker.OVERDUE

    def settled(self, timing: Timing) -> bool:
        """Whether it has looked for long enough to have seen every living node renew."""
        if self.look is None or self.began is None:
            return False
        return self.look.read_at - self.began > timing.renew + 2 * timing.reply


class Controller:
    """One node's controller. `step` once; `run` until told to end."""

    def __init__(
        self, node: NodeName, store: Store, desk: FenceDesk, bell: threading.Event, hostname: str = ""
    ) -> None:
        self.node = node
        self.log = DecisionLog(node)
        self.timing = Timing()
        self.election = Election(node, boottime)
        self.fences = Fences(desk, self.log, boottime)
        self.checks = FenceChecks(lambda spec: ask(spec, desk.sealing_key, desk.folders), self.log)
        self.failover = Failover(self.log, self.fences)
        self.placing = Placing(self.log)
        self.patience = Patience(self.log)
        self.work = WorkDesk(self.log)
        self.teller = Teller(hostname or node)
        self.epoch: int | None = None
        self._store = store
        self._bell = bell
        self._inbox: Inbox = deque()
        self._followers = [
            Follower(store, prefix, self._inbox, bell, urgent=prefix != keys.STATUS) for prefix in WATCHED
        ]
        # What observers say is read with each look. Its watch only rings, so that silence counts from its first moment.
        self._followers.append(Follower(store, keys.OBSERVATIONS, deque(maxlen=1), bell, urgent=True))
        self._loaded: set[str] = set()
        self._viewer = Viewer()
        self._eyes = Eyes()
        self._busy = False
        self._since = datetime.now(UTC)
        self._reported: ControllerReport | None = None
        self._refused: Notice | None = None

    def run(self, ended: threading.Event, alive: Callable[[], None]) -> None:
        """Look and decide until `ended`; then let another one lead. `alive` is called every time."""
        for follower in self._followers:
            follower.start()
        try:
            while not ended.is_set():
                began = boottime()
                self._bell.clear()
                self.step()
                alive()
                self._bell.wait(max(_SHORTEST, self._next_look(began) - boottime()))
                ended.wait(_SHORTEST)
        finally:
            for follower in self._followers:
                follower.end()
            self.election.resign(self._store, self.timing)

    def _next_look(self, began: float) -> float:
        """When to look again at the latest, after the look that `began` then."""
        pause = ASIDE
        if self.epoch is not None:
            pause = BUSY if self._busy else AT_REST
        now = boottime()
        ends = [end for end in (self.election.silent_at, *self._eyes.silences(self.timing)) if end > now]
        return min([began + pause, *ends])

    def step(self) -> None:
        """One look, and what follows from it."""
        self._take_inbox()
        try:
            self.election.keep(self._store, self.timing)
            look = self._look()
            if self._loaded.issuperset(WATCHED):
                self.election.consider(self._store, self.timing, look.leader, look.read_at)
                self._lead()
        except StoreUnavailable as error:
            log.warning("nothing is decided: %s", error)
            self._busy = False
        except NotLeading:
            self.election.doubt()

    # --- looking ------------------------------------------------------------------------------------------

    def _take_inbox(self) -> None:
        while self._inbox:
            batch = self._inbox.popleft()
            if isinstance(batch, Whole):
                self._viewer.load(batch.prefix, batch.records)
                self._loaded.add(batch.prefix)
            else:
                self._viewer.apply(batch)
        try:
            self.timing, self._refused = timing_of(self._viewer.view), None
        except BadInput as error:
            self._refused = Notice.of(error)

    def _look(self) -> Look:
        look = self._eyes.looker.look(self._store, self.timing.reply, boottime)
        for prefix, records in look.said.items():
            self._viewer.refresh(prefix, records)
        self._eyes.take(look, self._viewer.view.facts(keys.OBSERVATIONS).values(), self.timing)
        return look

    def _known(self) -> Known:
        eyes = self._eyes
        assert eyes.look is not None
        cut = {
            name
            for name, fence in self.fences.known.items()
            if (session := eyes.look.sessions.get(name)) is not None
            and session.epoch == fence.session_epoch
            and fence.state not in {FenceState.REFUSED, FenceState.MISSED}
        }
        usable = frozenset(eyes.well) - cut
        known = Known(
            self._viewer.view,
            eyes.look,
            self.timing,
            eyes.sightings,
            eyes.fails,
            dict(self.fences.known),
            usable,
            eyes.reached,
        )
        return replace(known, missed=self.checks.missed(known), reads_off=self.checks.reads_off(known))

    # --- leading ------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        epoch = self.election.epoch(self.timing)
        if epoch is None:
            self.epoch, self._busy = None, False
            return
        led = Led(self._store, epoch, self.timing.reply, lambda: self.election.keep(self._store, self.timing))
        if epoch != self.epoch:
            self._begin(led)
        self.fences.collect()
        assert self._eyes.look is not None
        self.fences.watch(self._eyes.sightings, self._eyes.look.read_at)
        self.checks.note_missed(led, self._known(), self.fences.found_missing)
        self.fences.found_missing.clear()
        self.fences.save(led)
        known, now = self._known(), boottime()
        if now - known.look.read_at <= self.timing.reply:
            self._decide(led, known, now)
        self.work.step(led, known, now)
        tidy(led, known, self.log, self.fences)
        self._report(led, known)
        self.log.flush(led)

    def _begin(self, led: Led) -> None:
        """A leadership begins: read what another leader left, linearizably."""
        placements = self._read(keys.PLACEMENTS, Placement)
        fences = self._read(keys.FENCES, FenceRecord)
        self.checks.take_over(self._read(keys.FENCE_CHECKS, FenceCheck))
        self.log.take_over(self._store, _READ_ALL)
        self.placing.take_over({each.group: each for each in placements})
        self.fences.take_over(fences, self._read(keys.POWER_ONS, PowerOns))
        self.epoch, self._since, self._reported = led.epoch, datetime.now(UTC), None
        self.log.tell("event-leads", node=self.node, facts={"epoch": led.epoch})

    def _read(self, prefix: str, kind: type[_Kind]) -> list[_Kind]:
        found = []
        for record in self._store.list(prefix, deadline=_READ_ALL)[0]:
            try:
                found.append(kind.model_validate_json(record.value))
            except (ValidationError, PosthouseError):
                log.error("%s cannot be read and is left as it is", record.key)
        return found

    def _decide(self, led: Led, known: Known, now: float) -> None:
        healthy = known.healthy(now)
        well_kept = running(known, healthy)
        unfit = self.patience.unfit(known, healthy, now)
        if self._eyes.settled(self.timing):
            facts = situation(known, self.placing.placed, well_kept, unfit, cold(known))
            self.placing.step(led, facts, self._eyes.well, now, Policy(self._setting("controller.moves_at_once")))
            self.placing.forget(led, known)
        self.failover.request(led, known)
        self.failover.act(led, known, self.placing.goals, now)
        most = self._setting("controller.move_patience")
        self.patience.watch_moves(well_kept, self.placing.goals, now, most, hanging(known))
        stuck = worth_cutting_off(known, self.patience.stuck, self.placing.goals)
        self.failover.cut_off_stuck(led, known, stuck)
        if self._setting("controller.power_on_fenced"):
            self.failover.power_on(led, known)
        self.checks.step(led, known, now, self._setting("controller.fence_check_every"))
        if self._eyes.settled(self.timing):
            fences = self._fences_standing(known)
            standing = alarms.standing(known, well_kept, self.placing.goals, self.failover.operator_needed, fences)
            self.teller.step(standing, self._viewer.view.settings, now)
        self._busy = (
            bool(self._eyes.fails)
            or self.fences.active
            or len(well_kept) < sum(goal is not None for goal in self.placing.goals.values())
        )

    def _fences_standing(self, known: Known) -> dict[NodeName, Notice]:
        """What is wrong with a node's fence, or that the node is held off."""
        return {**self.checks.standing(known), **self.fences.held_off()}

    def _setting(self, name: str) -> Any:
        """A setting of the whole system; a stored value that is not valid counts for nothing."""
        parameter = next(each for each in settings.PARAMETERS if each.name == name)
        stored = self._viewer.view.settings.get(name)
        try:
            return parameter.default if stored is None else parameter.load(stored)
        except BadInput:
            return parameter.default

    @property
    def metrics_port(self) -> int:
        """Where figures are told on loopback; 0: nowhere."""
        return int(self._setting("controller.metrics_port"))

    def _report(self, led: Led, known: Known) -> None:
        report = ControllerReport(
            node=self.node,
            epoch=led.epoch,
            since=self._since,
            waiting=self.failover.operator_needed,
            notices=tuple(self._notices(known)),
        )
        if report != self._reported:
            led.must_write([Put(keys.CONTROLLER, report.model_dump_json())])
            self._reported = report

    def _notices(self, known: Known) -> list[Notice]:
        found = [*self.teller.notices, *([] if self._refused is None else [self._refused])]
        for node, detail in sorted(self.fences.failures.items()):
            found.append(Notice(key="notice-fence-failed", facts={"node": node, "detail": detail}, grave=True))
        found += self._fences_standing(known).values()
        for group, node in sorted(self.patience.stuck.items()):
            found.append(Notice(key="notice-move-stuck", facts={"group": group, "node": node}, grave=True))
        unreadable = {*known.view.unreadable}
        unreadable |= {keys.session(name) for name in known.look.unreadable_sessions}
        unreadable |= {keys.owner(name) for name in known.look.unreadable_owners}
        found += [Notice(key="notice-unreadable", facts={"key": key}) for key in sorted(unreadable)[:10]]
        return found
