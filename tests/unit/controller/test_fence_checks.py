"""When the leader asks which fence whether its node is on, and what it makes of the answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from appliance.cluster import keys
from appliance.cluster.decided import FenceCheck, FenceProblem, FenceSpec
from appliance.cluster.names import NodeName, Seconds
from appliance.coordination.store import Delete, Outcome, Put
from appliance.ownership.taker import FenceState
from controller.cases import Known
from controller.election import Led
from controller.events import DecisionLog
from controller.fencing.checks import AGAIN, FenceChecks, judge
from controller.fencing.desk import Errand, Report
from controller.view import Seen
from tests.lab.polling import wait_until
from tests.unit.controller.situations import group
from tests.unit.controller.test_cases import known

A, B = NodeName("a"), NodeName("b")
EVERY = 300.0


@dataclass
class Store:
    """Takes everything."""

    values: dict[str, str] = field(default_factory=dict)

    def transact(self, guards: Any, changes: list[Put | Delete], **_: Any) -> Outcome:
        for each in changes:
            if isinstance(each, Put):
                self.values[each.key] = each.value
            else:
                self.values.pop(each.key, None)
        return Outcome(succeeded=True, revision=1000)


@dataclass
class Round:
    """Fences that answer as `off` says; `asked` in order."""

    off: dict[NodeName, bool | None] = field(default_factory=dict)
    asked: list[NodeName] = field(default_factory=list)
    store: Store = field(default_factory=Store)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.checks = FenceChecks(self.read, DecisionLog(B))
        self.led: Any = Led(self.store, 7, Seconds(1.0))  # type: ignore[arg-type]

    def read(self, spec: FenceSpec) -> Report:
        self.asked.append(spec.node)
        return Report(spec.node, 0, Errand.READ, None, self.off.get(spec.node, False), "words")

    def go(self, seen: Known, seconds: float) -> None:
        """The leader's passes for so long, one a second."""
        until = self.now + seconds
        while self.now < until:
            self.checks.step(self.led, seen, self.now, EVERY)
            thread = self.checks._thread
            if thread is not None:
                wait_until("it answered", lambda thread=thread: not thread.is_alive(), every=0.001)  # type: ignore[misc]
            self.now += 1.0

    def problem(self, node: NodeName = A) -> FenceProblem | None:
        record = self.store.values.get(keys.fence_check(node))
        return FenceCheck.model_validate_json(record).problem if record else None


def cluster(*, revision: int = 5, **more: Any) -> Known:
    specs = {name: Seen(FenceSpec(node=NodeName(name), agent="fence_x"), revision) for name in "ab"}
    return known(group("g"), owned={"g": "a"}, tables={keys.FENCE_SPECS: specs}, **more)


def test_each_fence_is_read_at_once_and_then_from_time_to_time() -> None:
    turn = Round()
    turn.go(cluster(), 10.0)
    assert sorted(turn.asked) == [A, B]
    turn.go(cluster(), EVERY - 15.0)
    assert len(turn.asked) == len("ab")
    turn.go(cluster(), 20.0)
    assert len(turn.asked) == 2 * len("ab")
    check = FenceCheck.model_validate_json(turn.store.values[keys.fence_check(A)])
    assert (check.spec, check.problem) == (5, None)
    assert check.read_at is not None


@pytest.mark.parametrize(("off", "problem"), [(None, FenceProblem.SILENT), (True, FenceProblem.READS_OFF)])
def test_what_a_fence_gets_wrong_twice_is_told_until_it_is_well(off: bool | None, problem: FenceProblem) -> None:
    turn = Round({A: off})
    turn.go(cluster(), AGAIN - 2.0)
    assert turn.problem() is None
    turn.go(cluster(), AGAIN)
    assert turn.problem() is problem
    assert (A in turn.checks.reads_off(cluster())) is (off is True)
    assert [each.key for each in turn.checks.standing(cluster()).values()] == [f"alert-fence-{problem.value}"]
    turn.off.clear()
    turn.go(cluster(), AGAIN + 2.0)
    assert turn.problem() is None
    assert turn.checks.standing(cluster()) == {}
    assert turn.checks.reads_off(cluster()) == frozenset()


def test_a_node_that_is_off_may_read_off() -> None:
    turn = Round({A: True})
    turn.go(cluster(silent="a"), 3 * AGAIN)
    assert turn.problem() is None


def test_no_fence_is_read_while_an_owner_is_silent_nor_one_that_was_ordered() -> None:
    turn = Round()
    turn.go(replace(cluster(), fails={A: {B: 1.0}}), 10.0)
    assert turn.asked == []
    turn.go(cluster(fences={"a": FenceState.ORDERED}), 10.0)
    assert turn.asked == [B]


def test_what_is_known_about_a_fence_is_about_how_it_was_set() -> None:
    turn = Round()
    turn.checks.note_missed(turn.led, cluster(), {A: 5})
    assert turn.checks.missed(cluster()) == {A}
    turn.go(cluster(), 10.0)
    assert turn.asked == [B]
    assert turn.checks.missed(cluster(revision=6)) == frozenset()
    turn.go(cluster(revision=6), 10.0)
    assert A in turn.asked
    assert turn.problem() is None


def test_a_fence_that_was_set_anew_while_the_old_one_was_under_way_is_relied_on() -> None:
    turn = Round()
    turn.checks.note_missed(turn.led, cluster(revision=6), {A: 5})
    assert turn.checks.missed(cluster(revision=6)) == frozenset()
    turn.go(cluster(revision=6), 10.0)
    turn.checks.note_missed(turn.led, cluster(revision=6), {A: 5})
    assert turn.problem() is None, "what is known about it as it is set now stands"


def test_a_fence_of_which_an_older_release_did_not_note_how_it_was_set_counts_for_nothing() -> None:
    turn = Round()
    turn.checks.note_missed(turn.led, cluster(), {A: 0})
    assert turn.checks.missed(cluster()) == {A}


def test_a_fence_that_is_no_more_is_forgotten() -> None:
    turn = Round()
    turn.go(cluster(), 10.0)
    turn.go(known(group("g"), owned={"g": "a"}), 1.0)
    assert turn.store.values == {}


def test_the_answer_about_a_node_that_began_anew_meanwhile_shows_nothing() -> None:
    report = Report(A, 0, Errand.READ, None, True)
    assert judge(report, alive=False) is None
    assert judge(report, alive=True) is FenceProblem.READS_OFF
    assert judge(None, alive=True) is FenceProblem.SILENT
