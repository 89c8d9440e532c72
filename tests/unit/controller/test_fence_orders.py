"""Whom the leader orders off, and when not: the store takes everything, and no program is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.cluster import keys
from appliance.cluster.decided import ClusterEvent, FenceProgress, FenceRecord, FenceRequest, FenceSpec, PowerOns
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Delete, Outcome, Put
from appliance.ownership.taker import Sighting
from controller.election import Led
from controller.events import DecisionLog
from controller.failover import Failover
from controller.fencing.desk import Errand, Report
from controller.fencing.progress import REST, Cause, Fences
from controller.view import Seen
from tests.unit.controller.situations import group
from tests.unit.controller.test_cases import EPOCHS, known

A = NodeName("a")


@dataclass
class Agreeable:
    """A store in which every guard holds."""

    changed: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)

    def transact(self, guards: Any, changes: list[Put | Delete], **_: Any) -> Outcome:
        self.changed += [each.key for each in changes]
        self.values |= {each.key: each.value for each in changes if isinstance(each, Put)}
        return Outcome(succeeded=True, revision=1000)


@dataclass
class Desk:
    """Notes what is ordered."""

    ordered: list[tuple[NodeName, int]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    switched_on: list[int] = field(default_factory=list)

    def busy(self, node: NodeName) -> bool:
        return False

    def order(self, spec: FenceSpec, session_epoch: int) -> None:
        self.ordered.append((spec.node, session_epoch))

    def read(self, spec: FenceSpec, session_epoch: int) -> None:
        self.reports.append(Report(spec.node, session_epoch, Errand.READ, None, True))

    def power_on(self, spec: FenceSpec, session_epoch: int) -> None:
        self.switched_on.append(session_epoch)

    def collect(self) -> list[Report]:
        reports, self.reports = self.reports, []
        return reports


def failover(desk: Any) -> Failover:
    log = DecisionLog(NodeName("b"))
    return Failover(log, Fences(desk, log, lambda: 1000.0))


def tables(epoch: int, delay: float = 0.0) -> dict[str, Any]:
    return {
        keys.FENCE_SPECS: {"a": Seen(FenceSpec(node=A, agent="fence_x", delay=delay), 1)},
        keys.FENCE_REQUESTS: {"a": Seen(FenceRequest(node=A, session_epoch=epoch, by="me"), 9)},
    }


def test_a_wish_to_fence_is_about_the_session_that_it_names() -> None:
    for epoch, ordered in ((EPOCHS["a"], [(A, EPOCHS["a"])]), (EPOCHS["a"] - 1, [])):
        desk, store = Desk(), Agreeable()
        led: Any = Led(store, 7, Seconds(1.0))  # type: ignore[arg-type]
        failover(desk).request(led, known(group("g"), owned={"g": "a"}, tables=tables(epoch)))
        assert desk.ordered == ordered
        assert (keys.fence_request(A) in store.changed) == (not ordered)  # of a session that is over: forgotten


def test_a_node_that_cannot_let_go_is_cut_off_whatever_delay_its_fence_has() -> None:
    """The delay is for two that fence each other, and begins anew when nobody is to be fenced for silence."""
    desk = Desk()
    led: Any = Led(Agreeable(), 7, Seconds(1.0))  # type: ignore[arg-type]
    seen = known(group("g"), owned={"g": "a"}, tables=tables(EPOCHS["a"], delay=5.0))
    hand = failover(desk)
    for _ in range(2):
        hand.fences.healed(frozenset())
        hand.cut_off_stuck(led, seen, {GroupName("g"): A})
    assert desk.ordered == [(A, EPOCHS["a"])]


def test_a_fence_that_missed_is_named_as_it_was_set_when_it_read_off_by_whichever_leader() -> None:
    """It may have been set anew while it was under way: what is known of the old one is not about the new one."""
    spec, store = FenceSpec(node=A, agent="fence_x"), Agreeable()
    led: Any = Led(store, 7, Seconds(1.0))  # type: ignore[arg-type]
    for readings, expected in (([], 5), ([6], 6)):
        hand = failover(Desk())
        assert hand.fences.order(led, spec, 11, [], Cause("event-fence-requested", {"by": "me"}, spec=5))
        hand.fences._desk.read(spec, 11)
        for revision in readings:
            hand.fences.verify(spec, 11, revision)
        hand.fences.collect()
        hand.fences.save(led)
        record = FenceRecord.model_validate_json(store.values[keys.fence(A)])
        assert record.spec == expected
        another = failover(Desk())
        another.fences.take_over([record])
        another.fences.watch({A: Sighting(500, 999.0, 11, 1.0)}, 1000.0)
        another.fences.watch({A: Sighting(501, 1002.0, 11, 1.0)}, 1003.0)
        assert another.fences.found_missing == {A: expected}


@dataclass
class Crashes:
    """A node that is cut off again and again; each time another leader goes on from what stands in the store."""

    store: Agreeable = field(default_factory=Agreeable)
    desk: Desk = field(default_factory=Desk)
    log: DecisionLog = field(default_factory=lambda: DecisionLog(NodeName("b")))
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    epoch: int = 11
    fences: Fences = field(init=False)

    @property
    def led(self) -> Any:
        return Led(self.store, 7, Seconds(1.0))  # type: ignore[arg-type]

    def leader(self) -> Fences:
        """A new one, whose rest for the nodes that are off has passed."""
        monotonic = iter([0.0])
        self.fences = Fences(self.desk, self.log, lambda: next(monotonic, REST), lambda: self.now)  # type: ignore[arg-type]
        kept = self.store.values
        records = [FenceRecord.model_validate_json(text) for key, text in kept.items() if key == keys.fence(A)]
        counts = [PowerOns.model_validate_json(text) for key, text in kept.items() if key == keys.power_ons(A)]
        self.fences.take_over(records, counts)
        return self.fences

    def crash(self, after: timedelta = timedelta(minutes=5)) -> bool:
        """So long after the last time; whether it was switched on."""
        self.now += after
        self.epoch += 1
        fenced = FenceRecord(node=A, session_epoch=self.epoch, progress=FenceProgress.VERIFIED)
        self.store.values[keys.fence(A)] = fenced.model_dump_json()
        fences = self.leader()
        if fences.may_power_on(A):
            fences.power_on(self.led, FenceSpec(node=A, agent="fence_x"))
        return self.epoch in self.desk.switched_on


def test_a_node_that_is_lost_again_and_again_stays_off_and_that_is_told_until_it_is_back() -> None:
    turn = Crashes()
    assert [turn.crash() for _ in range(4)] == [True, True, True, False]
    turn.log.flush(turn.led)
    told = [text for key, text in sorted(turn.store.values.items()) if key.startswith(keys.EVENTS)]
    assert [ClusterEvent.model_validate_json(text).key for text in told] == ["event-power-on"] * 3 + ["event-held-off"]
    for fences in (turn.fences, turn.leader()):
        assert [(notice.key, notice.grave) for notice in fences.held_off().values()] == [("alert-node-held-off", True)]
        assert not fences.may_power_on(A), "it stays off, however long"
    turn.fences.forget(A)
    assert turn.fences.held_off() == {}


def test_a_node_that_is_lost_now_and_then_is_switched_on_each_time() -> None:
    turn = Crashes()
    assert all(turn.crash(timedelta(minutes=21)) for _ in range(8))
    assert len(PowerOns.model_validate_json(turn.store.values[keys.power_ons(A)]).at) == 3


def test_a_clock_that_was_far_ahead_keeps_no_node_off() -> None:
    turn = Crashes()
    assert all(turn.crash() for _ in range(3))
    assert turn.crash(timedelta(days=-3))
