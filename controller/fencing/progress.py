"""How far the fencing of each node is. It stands in the store, so that another leader goes on from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from appliance.cluster import keys
from appliance.cluster.decided import FenceProgress, FenceRecord, FenceSpec
from appliance.cluster.names import GroupName, NodeName
from appliance.coordination.store import Guard, Put
from appliance.ownership import taker
from appliance.ownership.taker import Fence, FenceKind, FenceState
from controller.election import Led
from controller.events import DecisionLog
from controller.fencing.desk import FenceDesk, Report

#: Between two readings of a node that does not read off.
_READ_AGAIN = 0.5


class Fences:
    """The leader's fences: `known` is what the protocol is asked with, `failures` what went wrong last, by node."""

    def __init__(self, desk: FenceDesk, log: DecisionLog, clock: Callable[[], float]) -> None:
        self._desk = desk
        self._log = log
        self._clock = clock
        self._wanted: dict[tuple[NodeName, int], float] = {}
        self._read: dict[NodeName, float] = {}
        self._unsaved: set[NodeName] = set()
        self.known: dict[NodeName, Fence] = {}
        self.failures: dict[NodeName, str] = {}

    def take_over(self, records: Iterable[FenceRecord]) -> None:
        """A leadership begins: go on from what another leader left. Its times are not ours: they count from now."""
        self._wanted.clear()
        self._unsaved.clear()
        self.failures.clear()
        self.known = {
            record.node: Fence(
                FenceKind.POWER,
                record.node,
                record.session_epoch,
                GroupName(""),
                0,
                FenceState(record.progress.value),
                self._clock(),
            )
            for record in records
        }

    @property
    def active(self) -> bool:
        """Whether something is under way."""
        return bool(self._wanted) or any(self._desk.busy(node) for node in self.known)

    def order(  # noqa: PLR0917 - the session, and what the order rests on
        self, led: Led, spec: FenceSpec, session_epoch: int, guards: Iterable[Guard], key: str, facts: Mapping[str, str]
    ) -> bool:
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
        record = FenceRecord(node=node, session_epoch=session_epoch, progress=FenceProgress.ORDERED)
        asked = self._clock()
        if not led.write(guards, [Put(keys.fence(node), record.model_dump_json())]).succeeded:
            return False
        if self._clock() - asked > led.deadline:
            return False  # this process stood still meanwhile: look again before anybody is cut off
        self._wanted.pop((node, session_epoch))
        self.known[node] = Fence(
            FenceKind.POWER, node, session_epoch, GroupName(""), 0, FenceState.ORDERED, self._clock()
        )
        self._log.tell_once(("fence", node, session_epoch), key, key, node=node, facts=facts)
        self._desk.order(spec, session_epoch)
        return True

    def verify(self, spec: FenceSpec, session_epoch: int) -> None:
        """Read again whether the node is off."""
        node = spec.node
        if self._desk.busy(node) or self._clock() - self._read.get(node, float("-inf")) < _READ_AGAIN:
            return
        self._desk.read(spec, session_epoch)

    def collect(self) -> None:
        """Take in what the programs answered."""
        for report in self._desk.collect():
            fence = self.known.get(report.node)
            if fence is None or fence.session_epoch != report.session_epoch:
                continue  # of an earlier leadership
            self._read[report.node] = now = self._clock()
            if report.ordered:
                state = FenceState.REFUSED if report.accepted is False else FenceState.ORDERED
                fence = replace(fence, state=state, at=now)
            self.known[report.node] = taker.verified(fence, report.off)
            self._unsaved.add(report.node)
            self._tell(report)

    def save(self, led: Led) -> None:
        """Write what changed. Raises StoreUnavailable, NotLeading."""
        for node in sorted(self._unsaved & self.known.keys()):
            fence = self.known[node]
            record = FenceRecord(
                node=node,
                session_epoch=fence.session_epoch,
                progress=FenceProgress(fence.state.value),
                detail=self.failures.get(node, ""),
            )
            led.must_write([Put(keys.fence(node), record.model_dump_json())])
            self._unsaved.discard(node)

    def forget(self, node: NodeName) -> None:
        """The fencing of the node is over: it is back with another session."""
        fence = self.known.pop(node, None)
        self.failures.pop(node, None)
        if fence is not None:
            self._log.forget(("fence", node, fence.session_epoch))

    def healed(self, wanted: frozenset[NodeName]) -> None:
        """Only these nodes are still to be fenced: the delays of the others begin anew when it comes to it."""
        for node, epoch in [each for each in self._wanted if each[0] not in wanted]:
            self._wanted.pop((node, epoch))

    def _tell(self, report: Report) -> None:
        node, matter = report.node, ("fence", report.node, report.session_epoch)
        if report.off:
            self.failures.pop(node, None)
            self._log.tell_once(matter, "verified", "event-fence-verified", node=node)
            return
        detail = report.detail or "-"
        key = "event-fence-unverified"
        if report.ordered and report.accepted is False:
            key = "event-fence-refused"
        elif report.ordered and report.accepted is None:
            key = "event-fence-unanswered"
        self.failures[node] = detail
        self._log.tell_once(matter, key, key, node=node, facts={"detail": detail}, grave=True)
