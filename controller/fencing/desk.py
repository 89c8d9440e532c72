"""Runs fence programs in threads, one for a node at a time, so that the leadership is renewed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cluster.decided import FenceSpec
from appliance.cluster.names import NodeName
from appliance.errors import PosthouseError
from controller.fencing import agent
from controller.fencing.agent import Answer

#: A reading may take so long at most, seconds, whatever an order may.
READING = 10.0


@dataclass(frozen=True)
class Report:
    """What came of an order or a reading. `accepted`: the order was carried out by the program's own word; None: it
    did not answer in time, or nothing was ordered. `off` is the reading; None: it could not be read.
    """

    node: NodeName
    session_epoch: int
    ordered: bool
    accepted: bool | None
    off: bool | None
    detail: str = ""


@dataclass
class FenceDesk:
    """`wake` is called from a thread when a report is ready. `sealing_key`: the control nodes' key file."""

    wake: Callable[[], None]
    sealing_key: Path | None = None
    folders: tuple[str, ...] = agent.FOLDERS
    _busy: set[NodeName] = field(default_factory=set)
    _reports: list[Report] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def busy(self, node: NodeName) -> bool:
        """Whether a program runs for the node, or its report was not collected yet."""
        return node in self._busy

    def order(self, spec: FenceSpec, session_epoch: int) -> None:
        """Cut the node off, then read whether it is off."""
        self._begin(spec, session_epoch, order=True)

    def read(self, spec: FenceSpec, session_epoch: int) -> None:
        """Only read."""
        self._begin(spec, session_epoch, order=False)

    def collect(self) -> list[Report]:
        """The reports since the last time."""
        with self._lock:
            reports, self._reports = self._reports, []
        self._busy -= {report.node for report in reports}
        return reports

    def _begin(self, spec: FenceSpec, session_epoch: int, *, order: bool) -> None:
        assert spec.node not in self._busy
        self._busy.add(spec.node)
        threading.Thread(
            target=self._work, args=(spec, session_epoch, order), name=f"fence {spec.node}", daemon=True
        ).start()

    def _work(self, spec: FenceSpec, session_epoch: int, order: bool) -> None:
        try:
            report = fence(spec, session_epoch, self.sealing_key, self.folders, order=order)
        except Exception as error:  # a silent end would leave the node busy for ever
            report = Report(spec.node, session_epoch, order, False if order else None, None, str(error))
        with self._lock:
            self._reports.append(report)
        self.wake()


def fence(
    spec: FenceSpec, session_epoch: int, sealing_key: Path | None, folders: tuple[str, ...], *, order: bool
) -> Report:
    """Order, if wanted, and read. A program that fails or hangs is read all the same: it may have done it."""
    accepted: bool | None = None
    try:
        program = agent.find(spec.agent, folders)
        given = agent.parameters(spec, sealing_key)
        ordered = agent.run(program, "off", given, spec.timeout) if order else Answer(0)
        accepted = None if ordered.status is None or not order else ordered.status == 0
        reading = agent.run(program, "status", given, min(spec.timeout, READING))
    except PosthouseError as error:
        return Report(spec.node, session_epoch, order, False if order else None, None, str(error))
    return Report(spec.node, session_epoch, order, accepted, agent.is_off(reading), _detail(ordered, reading))


def _detail(ordered: Answer, reading: Answer) -> str:
    """The words of whichever part went wrong."""
    for answer in (ordered, reading):
        if answer.status is None:
            return "no answer in time"
    return ordered.said if ordered.status != 0 else reading.said
