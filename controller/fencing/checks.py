"""Asks every node's fence from time to time whether the node is on: one that is broken is told before it is needed.

One program at a time, with a deadline, in a thread of its own, and none while an owner is silent or fenced: whoever
has to be cut off then must not find the fence busy.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from appliance.cluster import keys
from appliance.cluster.decided import FenceCheck, FenceProblem, FenceSpec
from appliance.cluster.names import NodeName, Seconds
from appliance.cluster.report import Notice
from appliance.coordination.store import Delete, Put
from controller.cases import Known, SessionName
from controller.election import Led
from controller.events import DecisionLog
from controller.fencing.desk import Errand, Report
from controller.view import Seen

log = logging.getLogger("posthouse.controller")

#: A fence that did not answer as it should is asked again after this, and told when it does so twice.
AGAIN = Seconds(10.0)

#: How nodes are fenced, and the revisions at which that was set.
Specs = dict[NodeName, Seen[FenceSpec]]
#: Reads a fence, in whatever time its deadline gives it.
Reader = Callable[[FenceSpec], Report]


@dataclass
class FenceChecks:
    """One leader's checks. `read` is called in a thread; `found` is what stands in the store, by node."""

    read: Reader
    log: DecisionLog
    found: dict[NodeName, FenceCheck] = field(default_factory=dict)
    _due: dict[tuple[NodeName, int], float] = field(default_factory=dict)
    _doubtful: set[NodeName] = field(default_factory=set)
    _thread: threading.Thread | None = None
    _asked: tuple[NodeName, int, SessionName | None] | None = None
    _report: Report | None = None

    def take_over(self, checks: Iterable[FenceCheck]) -> None:
        """A leadership begins: go on from what another leader found."""
        self.found = {check.node: check for check in checks}
        self._due.clear()
        self._doubtful.clear()
        self._asked = None

    def missed(self, known: Known) -> frozenset[NodeName]:
        """Nodes whose fence, as it is set now, is known to hit something else."""
        return self._with(FenceProblem.MISSES, known)

    def reads_off(self, known: Known) -> frozenset[NodeName]:
        """Nodes whose fence, as it is set now, said "off" of them when they were alive, and nothing better since."""
        return self._with(FenceProblem.READS_OFF, known)

    def _with(self, problem: FenceProblem, known: Known) -> frozenset[NodeName]:
        specs = _specs(known)
        return frozenset(
            node
            for node, check in self.found.items()
            if node in specs and (check.problem, check.spec) == (problem, specs[node].revision)
        )

    def note_missed(self, led: Led, known: Known, nodes: Mapping[NodeName, int]) -> None:
        """These fences read off, and their nodes renew; with the revisions at which they were set so (0: unknown).

        Of one that was set anew meanwhile nothing is known. Raises StoreUnavailable, NotLeading.
        """
        for node, revision in sorted(nodes.items()):
            spec, check = _specs(known).get(node), self.found.get(node)
            if spec is None or revision not in {0, spec.revision}:
                continue
            if check is None or not _says_missed(check, spec.revision):
                self._write(led, FenceCheck(node=node, spec=spec.revision, problem=FenceProblem.MISSES))

    def step(self, led: Led, known: Known, now: float, every: float) -> None:
        """Take in what a fence answered, and ask the next that is due. Raises StoreUnavailable, NotLeading."""
        specs = _specs(known)
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._thread = None
            self._take(led, known, specs, now, every)
        for node in [
            node for node in self.found if node not in specs and keys.fence_spec(node) not in known.view.unreadable
        ]:
            led.must_write([Delete(keys.fence_check(node))])
            self.found.pop(node)
        self._due = {each: at for each, at in self._due.items() if each[0] in specs}
        missed = self.missed(known)
        due = [
            (self._due.get((node, seen.revision), now), node, seen)
            for node, seen in specs.items()
            if node not in known.fences and node not in missed
        ]
        if any(node in known.fails for node, _ in known.by_session):
            return
        if due and min(due)[0] <= now:
            self._ask(*min(due, key=lambda each: each[:2])[1:], known)

    def _ask(self, node: NodeName, seen: Seen[FenceSpec], known: Known) -> None:
        session = known.look.sessions.get(node)
        alive = (node, session.epoch) if session is not None and node in known.usable else None
        self._asked = (node, seen.revision, alive)
        self._report = None

        def work() -> None:
            try:
                self._report = self.read(seen.fact)
            except Exception:
                log.exception("the check of a fence failed")

        self._thread = threading.Thread(target=work, name=f"check the fence of {node}", daemon=True)
        self._thread.start()

    def _take(self, led: Led, known: Known, specs: Specs, now: float, every: float) -> None:
        if self._asked is None:
            return  # asked by an earlier leadership
        node, revision, alive = self._asked
        session = known.look.sessions.get(node)
        still = alive if session is not None and node in known.usable and alive == (node, session.epoch) else None
        problem = judge(self._report, alive=still is not None)
        before = self.found.get(node)
        if before is not None and before.spec != revision:
            before = None
        self._due[node, revision] = now + (every if problem is None else min(AGAIN, every))
        if node not in specs or specs[node].revision != revision:
            return
        if problem is None:
            self._doubtful.discard(node)
            self._tell(before, FenceCheck(node=node, spec=revision, read_at=datetime.now(UTC)), led)
        elif node not in self._doubtful:
            self._doubtful.add(node)
        else:
            read_at = before.read_at if before is not None else None
            detail = self._report.detail if self._report is not None else ""
            self._tell(
                before, FenceCheck(node=node, spec=revision, read_at=read_at, problem=problem, detail=detail), led
            )

    def _tell(self, before: FenceCheck | None, after: FenceCheck, led: Led) -> None:
        if before == after:
            return
        self._write(led, after)
        was = None if before is None else before.problem
        if after.problem is not None and after.problem is not was:
            self.log.tell(f"event-fence-{after.problem.value}", node=after.node, facts=_facts(after), grave=True)
        elif after.problem is None and was is not None:
            self.log.tell("event-fence-well", node=after.node)

    def _write(self, led: Led, check: FenceCheck) -> None:
        led.must_write([Put(keys.fence_check(check.node), check.model_dump_json())])
        self.found[check.node] = check

    def standing(self, known: Known) -> dict[NodeName, Notice]:
        """What is wrong with which node's fence now."""
        specs = _specs(known)
        return {
            node: Notice(key=f"alert-fence-{check.problem.value}", facts={"node": node, **_facts(check)}, grave=True)
            for node, check in sorted(self.found.items())
            if check.problem is not None
            and node in specs
            and specs[node].revision == check.spec
            and (check.problem is FenceProblem.MISSES or node not in known.fences)
        }


def judge(report: Report | None, *, alive: bool) -> FenceProblem | None:
    """What an answer shows; `alive`: the node renewed one session before and after it."""
    if report is None or report.errand is not Errand.READ or report.off is None:
        return FenceProblem.SILENT
    return FenceProblem.READS_OFF if report.off and alive else None


def _facts(check: FenceCheck) -> dict[str, str | int | float]:
    return {"detail": check.detail or "-"}


def _says_missed(check: FenceCheck, spec: int) -> bool:
    return check.problem is FenceProblem.MISSES and check.spec == spec


def _specs(known: Known) -> Specs:
    return {NodeName(name): seen for name, seen in known.view.table(keys.FENCE_SPECS).items()}
