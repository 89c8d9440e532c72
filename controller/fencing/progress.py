"""How far the fencing of each node is. It stands in the store, so that another leader goes on from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from appliance.cluster import keys
from appliance.cluster.decided import FenceProgress, FenceRecord, FenceSpec, PowerOns
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.report import Notice
from appliance.coordination.store import Guard, Put
from appliance.ownership import taker
from appliance.ownership.taker import Fence, FenceKind, FenceState, Sightings
from controller.election import Led
from controller.events import DecisionLog
from controller.fencing.desk import Errand, FenceDesk, Report

#: Between two readings of a node that does not read off.
_READ_AGAIN = 0.5
#: So long a node stays off at least: whoever took its groups starts them first, and a power supply has discharged.
REST = 10.0
#: So often within so long a node is switched on again. One that is lost once more after that stays off: each time its
#: groups were down for the moments of another take-over.
POWER_ONS, OF_LATE = 3, timedelta(hours=1)


@dataclass(frozen=True)
class Cause:
    """Why a node is ordered off. `key` and `facts` are what is told.

    `silent_at`: the session's revision when the node was silent, on which the order rests; None: its silence is not
    the cause. `stays_off`: an operator asked for it. `spec`: how the fence was set when it was ordered, or read last.
    `held_off`: it was switched on too often of late.
    """

    key: str = ""
    facts: Mapping[str, str] | None = None
    silent_at: int | None = None
    stays_off: bool = False
    powered_on: bool = False
    spec: int = 0
    held_off: bool = False


def _today() -> datetime:
    return datetime.now(UTC)


class Fences:
    """The leader's fences: `known` is what the protocol is asked with, `failures` what went wrong last, by node.

    `today`, the wall clock, only counts how often nodes were switched on: another leader goes on counting.
    """

    def __init__(
        self,
        desk: FenceDesk,
        log: DecisionLog,
        clock: Callable[[], float],
        today: Callable[[], datetime] = _today,
    ) -> None:
        self._desk = desk
        self._log = log
        self._clock = clock
        self._today = today
        self._power_ons: dict[NodeName, tuple[datetime, ...]] = {}
        self._wanted: dict[tuple[NodeName, int], float] = {}
        self._read: dict[NodeName, float] = {}
        self._unsaved: set[NodeName] = set()
        self._causes: dict[NodeName, Cause] = {}
        self.known: dict[NodeName, Fence] = {}
        self.failures: dict[NodeName, str] = {}
        #: Nodes whose fence was found to hit something else, and how it was set; whoever has noted that takes them out.
        self.found_missing: dict[NodeName, int] = {}

    def take_over(self, records: Iterable[FenceRecord], power_ons: Iterable[PowerOns] = ()) -> None:
        """A leadership begins: go on from what another leader left. Its times are not ours: they count from now."""
        self._wanted.clear()
        self._unsaved.clear()
        self.failures.clear()
        self.found_missing.clear()
        self.known, self._causes = {}, {}
        self._power_ons = {each.node: each.at for each in power_ons}
        for record in records:
            state = FenceState.MISSED if record.missed else FenceState(record.progress.value)
            self.known[record.node] = self._fence(record.node, record.session_epoch, state)
            self._causes[record.node] = Cause(
                stays_off=record.stays_off,
                powered_on=record.powered_on,
                spec=record.spec,
                held_off=record.held_off,
            )

    def _fence(self, node: NodeName, session_epoch: int, state: FenceState) -> Fence:
        return Fence(FenceKind.POWER, node, session_epoch, GroupName(""), 0, state, self._clock())

    @property
    def active(self) -> bool:
        """Whether something is under way."""
        return bool(self._wanted) or any(self._desk.busy(node) for node in self.known)

    def order(self, led: Led, spec: FenceSpec, session_epoch: int, guards: Iterable[Guard], cause: Cause) -> bool:
        """Order the node off, after its delay; return whether it was ordered.

        The record comes first: a leader that is none any more fences nobody.

        Raises StoreUnavailable.
        """
        node = spec.node
        if self._desk.busy(node):
            return False
        since = self._wanted.setdefault((node, session_epoch), self._clock())
        if self._clock() - since < spec.delay:
            return False
        fence = self._fence(node, session_epoch, FenceState.ORDERED)
        asked = self._clock()
        if not led.write(guards, [self._put(fence, cause)]).succeeded:
            return False
        if self._clock() - asked > led.deadline:
            return False  # this process stood still meanwhile: look again before anybody is cut off
        self._wanted.pop((node, session_epoch))
        self.known[node], self._causes[node] = replace(fence, at=self._clock()), cause
        self._log.tell_once(("fence", node, session_epoch), cause.key, cause.key, node=node, facts=cause.facts)
        self._desk.order(spec, session_epoch)
        return True

    def verify(self, spec: FenceSpec, session_epoch: int, revision: int) -> None:
        """Read again whether the node is off. `revision`: at which the fence was set so."""
        node = spec.node
        if self._desk.busy(node) or self._clock() - self._read.get(node, float("-inf")) < _READ_AGAIN:
            return
        self._causes[node] = replace(self._causes[node], spec=revision)
        self._desk.read(spec, session_epoch)

    def collect(self) -> None:
        """Take in what the programs answered."""
        for report in self._desk.collect():
            fence = self.known.get(report.node)
            if fence is None or fence.session_epoch != report.session_epoch:
                continue  # of an earlier leadership
            if report.errand is Errand.POWER_ON:
                self._tell_powered_on(report)
                continue
            self._read[report.node] = now = self._clock()
            if report.errand is Errand.CUT_OFF:
                state = FenceState.REFUSED if report.accepted is False else FenceState.ORDERED
                fence = replace(fence, state=state, at=now)
            self.known[report.node] = taker.verified(fence, report.off, now)
            self._unsaved.add(report.node)
            self._tell(report)

    def watch(self, sightings: Sightings, read_at: float) -> None:
        """Hold what is known against the sessions as they stand: whoever renews has power."""
        for node, fence in self.known.items():
            sighting = sightings.get(node)
            after = self.known[node] = taker.contradicted(fence, sighting, read_at)
            if after.state is FenceState.MISSED and fence.state is not FenceState.MISSED:
                self._unsaved.add(node)
                self.found_missing[node] = self._causes[node].spec
                self._log.tell_once(self._matter(node), "missed", "event-fence-missed", node=node, grave=True)
            silent_at = self._causes[node].silent_at
            if silent_at is None or sighting is None or not self._desk.busy(node):
                continue
            if sighting.epoch == fence.session_epoch and sighting.revision != silent_at:
                self._desk.break_off(node)
                self._log.tell_once(self._matter(node), "renewed", "event-fence-renewed", node=node, grave=True)

    def over(self, sightings: Sightings, missed: Collection[NodeName]) -> list[NodeName]:
        """Fences that did not cut off and are wanted no more: their node renews its session, or they were set anew."""
        found = []
        for node, fence in self.known.items():
            if self._desk.busy(node) or fence.state is FenceState.VERIFIED:
                continue
            sighting = sightings.get(node)
            wait = 0.0 if self._causes[node].silent_at is not None else taker.FENCE_AGAIN
            if fence.state is FenceState.MISSED:
                gone = node not in missed
            else:
                gone = (
                    sighting is not None
                    and sighting.epoch == fence.session_epoch
                    and sighting.since > fence.at + wait
                )  # fmt: skip
            if gone:
                found.append(node)
        return found

    def may_power_on(self, node: NodeName) -> bool:
        """Whether the node was cut off a while ago, not at an operator's wish, and not switched on again since."""
        fence, cause = self.known[node], self._causes[node]
        done = cause.stays_off or cause.held_off or cause.powered_on or self._desk.busy(node)
        return fence.state is FenceState.VERIFIED and not done and self._clock() - fence.at >= REST

    def power_on(self, led: Led, spec: FenceSpec) -> None:
        """Switch a node on that was cut off, once; or hold it off. Raises StoreUnavailable, NotLeading."""
        node, now = spec.node, self._today()
        recent = tuple(at for at in self._power_ons.get(node, ()) if abs(now - at) < OF_LATE)
        if len(recent) >= POWER_ONS:
            self._hold_off(led, node)
            return
        fence, cause = self.known[node], replace(self._causes[node], powered_on=True)
        counted = PowerOns(node=node, at=(*recent, now))
        led.must_write([self._put(fence, cause), Put(keys.power_ons(node), counted.model_dump_json())])
        self._causes[node], self._power_ons[node] = cause, counted.at
        self._log.tell("event-power-on", node=node, facts={"agent": spec.agent})
        self._desk.power_on(spec, fence.session_epoch)

    def _hold_off(self, led: Led, node: NodeName) -> None:
        cause = replace(self._causes[node], held_off=True)
        led.must_write([self._put(self.known[node], cause)])
        self._causes[node] = cause
        self._log.tell("event-held-off", node=node, facts={"times": POWER_ONS}, grave=True)

    def held_off(self) -> dict[NodeName, Notice]:
        """Nodes that were switched on too often of late and stay off, until somebody switches them on by hand."""
        return {
            node: Notice(key="alert-node-held-off", facts={"node": node, "times": POWER_ONS}, grave=True)
            for node, cause in sorted(self._causes.items())
            if cause.held_off
        }

    def save(self, led: Led) -> None:
        """Write what changed. Raises StoreUnavailable, NotLeading."""
        for node in sorted(self._unsaved & self.known.keys()):
            led.must_write([self._put(self.known[node], self._causes[node])])
            self._unsaved.discard(node)

    def _put(self, fence: Fence, cause: Cause) -> Put:
        missed = fence.state is FenceState.MISSED
        record = FenceRecord(
            node=fence.node,
            session_epoch=fence.session_epoch,
            progress=FenceProgress.REFUSED if missed else FenceProgress(fence.state.value),
            detail=self.failures.get(fence.node, ""),
            missed=missed,
            stays_off=cause.stays_off,
            powered_on=cause.powered_on,
            spec=cause.spec,
            held_off=cause.held_off,
        )
        return Put(keys.fence(fence.node), record.model_dump_json())

    def forget(self, node: NodeName) -> None:
        """The fencing of the node is over: it is back with another session, or it was never cut off and lives."""
        self.failures.pop(node, None)
        if node in self.known:
            self._log.forget(self._matter(node))
            self.known.pop(node)
            self._causes.pop(node)

    def healed(self, wanted: frozenset[NodeName]) -> None:
        """Only these nodes are still to be fenced: the delays of the others begin anew when it comes to it."""
        for node, epoch in [each for each in self._wanted if each[0] not in wanted]:
            self._wanted.pop((node, epoch))

    def _matter(self, node: NodeName) -> tuple[str, NodeName, int]:
        return "fence", node, self.known[node].session_epoch

    def _tell(self, report: Report) -> None:
        node = report.node
        if report.off:
            self.failures.pop(node, None)
            self._log.tell_once(self._matter(node), "verified", "event-fence-verified", node=node)
            return
        detail = report.detail or "-"
        key = "event-fence-unverified"
        if report.errand is Errand.CUT_OFF and report.accepted is False:
            key = "event-fence-refused"
        elif report.errand is Errand.CUT_OFF and report.accepted is None:
            key = "event-fence-unanswered"
        self.failures[node] = detail
        self._log.tell_once(self._matter(node), key, key, node=node, facts={"detail": detail}, grave=True)

    def _tell_powered_on(self, report: Report) -> None:
        if not report.accepted:
            facts = {"detail": report.detail or "-"}
            self._log.tell("event-power-on-failed", node=report.node, facts=facts, grave=True)
