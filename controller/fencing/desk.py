"""Runs fence programs in threads, one for a node at a time, so that the leadership is renewed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from appliance.cluster.decided import FenceSpec
from appliance.cluster.names import NodeName
from appliance.errors import PosthouseError
from appliance.fencing import agent
from appliance.fencing.agent import Answer

#: A reading may take so long at most, seconds, whatever an order may.
READING = 10.0


class Errand(Enum):
    """What a program is run for. After an order to cut off it is read, too, whether the node is off."""

    CUT_OFF = "off"
    READ = "status"
    POWER_ON = "on"


@dataclass(frozen=True)
class Report:
    """What came of an errand. `accepted`: an order was carried out by the program's own word; None: it did not answer
    in time, or nothing was ordered. `off` is the reading; None: it could not be read.
    """

    node: NodeName
    session_epoch: int
    errand: Errand
    accepted: bool | None
    off: bool | None
    detail: str = ""


@dataclass
class FenceDesk:
    """`wake` is called from a thread when a report is ready. `sealing_key`: the control nodes' key file."""

    wake: Callable[[], None]
    sealing_key: Path | None = None
    folders: tuple[str, ...] = agent.FOLDERS
    _busy: dict[NodeName, threading.Event] = field(default_factory=dict)
    _reports: list[Report] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def busy(self, node: NodeName) -> bool:
        """Whether a program runs for the node, or its report was not collected yet."""
        return node in self._busy

    def order(self, spec: FenceSpec, session_epoch: int) -> None:
        """Cut the node off, then read whether it is off."""
        self._begin(spec, session_epoch, Errand.CUT_OFF)

    def read(self, spec: FenceSpec, session_epoch: int) -> None:
        """Only read."""
        self._begin(spec, session_epoch, Errand.READ)

    def power_on(self, spec: FenceSpec, session_epoch: int) -> None:
        """Switch the node on."""
        self._begin(spec, session_epoch, Errand.POWER_ON)

    def break_off(self, node: NodeName) -> None:
        """End the order that is under way for the node, if there is one; whether it was carried out is still read."""
        stop = self._busy.get(node)
        if stop is not None:
            stop.set()

    def collect(self) -> list[Report]:
        """The reports since the last time."""
        with self._lock:
            reports, self._reports = self._reports, []
        for report in reports:
            self._busy.pop(report.node, None)
        return reports

    def _begin(self, spec: FenceSpec, session_epoch: int, errand: Errand) -> None:
        assert spec.node not in self._busy
        stop = self._busy[spec.node] = threading.Event()
        threading.Thread(
            target=self._work, args=(spec, session_epoch, errand, stop), name=f"fence {spec.node}", daemon=True
        ).start()

    def _work(self, spec: FenceSpec, session_epoch: int, errand: Errand, stop: threading.Event) -> None:
        try:
            report = run_errand(spec, session_epoch, self.sealing_key, self.folders, errand, stop)
        except Exception as error:  # a silent end would leave the node busy for ever
            report = failed(spec, session_epoch, errand, str(error))
        with self._lock:
            self._reports.append(report)
        self.wake()


def run_errand(  # noqa: PLR0917 - a node, the way to its fence, and what for
    spec: FenceSpec,
    session_epoch: int,
    sealing_key: Path | None,
    folders: tuple[str, ...],
    errand: Errand,
    stop: threading.Event | None = None,
) -> Report:
    """Order, if wanted, and read. A program that fails or hangs is read all the same: it may have done it."""
    ordered: Answer | None = None
    reading: Answer | None = None
    try:
        program = agent.find(spec.agent, folders)
        given = agent.parameters(spec, sealing_key)
        if errand is not Errand.READ:
            ordered = agent.run(program, errand.value, given, spec.timeout, stop)
        if errand is not Errand.POWER_ON:
            reading = agent.run(program, "status", given, min(spec.timeout, READING))
    except PosthouseError as error:
        return failed(spec, session_epoch, errand, str(error))
    accepted = None if ordered is None or ordered.status is None else ordered.status == 0
    off = None if reading is None else agent.is_off(reading)
    return Report(spec.node, session_epoch, errand, accepted, off, _detail(ordered, reading))


def failed(spec: FenceSpec, session_epoch: int, errand: Errand, detail: str) -> Report:
    """The program could not even be run."""
    return Report(spec.node, session_epoch, errand, None if errand is Errand.READ else False, None, detail)


def _detail(ordered: Answer | None, reading: Answer | None) -> str:
    """The words of whichever part went wrong."""
    answers = [each for each in (ordered, reading) if each is not None]
    if any(each.status is None for each in answers):
        return "no answer in time"
    return next((each.said for each in answers if each.status != 0), answers[-1].said)
