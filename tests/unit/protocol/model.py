"""The model: hypothesis plays nature, hardware, network and operator; the code under test plays itself.

A step is one fault or wish and then some time. Time runs in `Cluster`, which checks every promise after every
event. `long` is chosen by POSTHOUSE_MODEL=long in the environment.
"""

from __future__ import annotations

import os
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, initialize, precondition, rule

from appliance.cluster.names import GroupName, Seconds
from appliance.cluster.timing import Timing
from tests.unit.protocol.clockwork import Gap, Process
from tests.unit.protocol.cluster import SETUPS, WRONG_SETUPS, Cluster, Promises, Shape
from tests.unit.protocol.drivers import Protocol
from tests.unit.protocol.machines import Agent, Machine

LONG = os.environ.get("POSTHOUSE_MODEL") == "long"

#: Clocks and watchdogs run up to 2 % wrong.
RATES = st.sampled_from([1.0, 0.98, 1.02])
SHORT = st.sampled_from([0.5, 1.4, 3.0])
SPANS = st.sampled_from([1.2, 4.0, 7.0, 12.0, 18.0, 30.0, 60.0])
MOMENTS = st.sampled_from([0.0, 1.2, 2.0, 3.0, 4.0, 4.6, 12.0, 60.0])
THEN = st.sampled_from([0.1, 1.0, 2.7, 6.0, 17.0, 24.0])
WHO = st.sampled_from([0, 0, 1, 2])
POINTS = st.sampled_from(["pet", "renew", "confirm", "mount", "prepare", "hand over", "drop", "stop"])

#: Of these the second breaks `2W + delta <= T` and the third `R + 2r <= D`: they are refused when they are read.
TIMINGS: list[Timing | None] = [
    None,
    Timing(watchdog=Seconds(12.0), takeover=Seconds(15.0)),
    Timing(renew=Seconds(4.5), takeover=Seconds(15.0)),
]


def profile(examples: int, steps: int) -> settings:
    """Bounded and the same in each run; the long form draws afresh, and shrinks what it finds."""
    if LONG:
        return settings(max_examples=examples * 50, stateful_step_count=steps * 2, deadline=None)
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


class TakeoverModel(RuleBasedStateMachine):
    """One cluster under faults. Subclasses choose the code that runs and what it runs on."""

    protocol: ClassVar[Protocol]
    setups: ClassVar[tuple[str, ...]] = tuple(SETUPS)
    promises: ClassVar[Promises] = Promises.ALL
    cluster: Cluster

    @initialize(data=st.data())
    def build(self, data: st.DataObject) -> None:
        shape = Shape(
            setup=(SETUPS | WRONG_SETUPS)[data.draw(st.sampled_from(self.setups), "setup")],
            nodes=data.draw(st.integers(2, 3), "nodes"),
            groups=data.draw(st.integers(1, 2), "groups"),
            rates=data.draw(st.tuples(RATES, RATES, RATES, RATES), "rates"),
            drop_takes=data.draw(st.sampled_from([0.1, 1.9]), "a drop takes"),
            boot_takes=data.draw(st.sampled_from([4.0, 20.0]), "a boot takes"),
            timing=data.draw(st.sampled_from(TIMINGS), "timing"),
        )
        self.cluster = Cluster(shape, self.protocol, self.promises)
        self.cluster.world.advance(data.draw(st.sampled_from([8.0, 0.4]), "before the first fault"))

    def machine(self, number: int) -> Machine:
        """0 is the recorded owner of the first group; the others follow."""
        machines = list(self.cluster.machines.values())
        owner = self.cluster.store.view().owners.get(self.group(0))
        first = list(self.cluster.machines).index(owner.record.node) if owner else 0
        return machines[(first + number) % len(machines)]

    def group(self, number: int) -> GroupName:
        groups = list(self.cluster.volumes)
        return groups[number % len(groups)]

    def keeper(self, number: int) -> Process:
        process = self.machine(number).keeper
        assert process is not None
        return process

    def then(self, seconds: float) -> None:
        self.cluster.world.advance(seconds)

    @classmethod
    def with_faults(cls, *names: str, **members: object) -> type[TakeoverModel]:
        """The model with these faults only (none: all of them); `members` are set on the class."""
        rules = {name for name in dir(cls) if hasattr(getattr(cls, name), RULE_MARKER)}
        assert rules > set(names), set(names) - rules
        without = dict.fromkeys(rules - set(names) - {"nothing_happens"}) if names else {}
        return type(cls.__name__, (cls,), {**without, **members})

    # --- the network and the store ------------------------------------------------------------------------

    @rule(who=WHO, seconds=SPANS, then=THEN)
    def a_node_loses_the_store(self, who: int, seconds: float, then: float) -> None:
        self.machine(who).link.cut(seconds)
        self.then(then)

    @rule(who=WHO, seconds=SPANS, then=THEN)
    def a_node_is_cut_off(self, who: int, seconds: float, then: float) -> None:
        machine = self.machine(who)
        machine.link.cut(seconds)
        machine.peers_cut_until = self.cluster.world.now + seconds
        self.then(then)

    @rule(who=WHO, seconds=SPANS, then=THEN)
    def a_node_answers_no_probes(self, who: int, seconds: float, then: float) -> None:
        self.machine(who).peers_cut_until = self.cluster.world.now + seconds
        self.then(then)

    @rule(who=WHO, seconds=SPANS, request=SHORT, reply=SHORT, then=THEN)
    def messages_are_late(self, who: int, seconds: float, request: float, reply: float, then: float) -> None:
        self.machine(who).link.slow(seconds, request * (who + 1), reply / 2)
        self.then(then)

    @rule(who=WHO, seconds=SPANS, reply=st.sampled_from([1.3, 1.45, 5.0]), then=THEN)
    def replies_are_late(self, who: int, seconds: float, reply: float, then: float) -> None:
        self.machine(who).link.slow(seconds, 0.0, reply)
        self.then(then)

    @rule(who=WHO, reply=st.sampled_from([1.3, 1.45, 5.0]), seconds=SPANS, then=THEN)
    def a_last_reply_is_late_and_then_nothing(self, who: int, reply: float, seconds: float, then: float) -> None:
        link = self.machine(who).link
        link.slow(2.2, 0.0, reply)
        world = self.cluster.world
        world.later(2.2 + reply, lambda: link.cut(seconds))
        self.then(then)

    @rule(seconds=SPANS, then=THEN)
    def the_store_has_no_quorum(self, seconds: float, then: float) -> None:
        self.cluster.store.no_quorum_until = self.cluster.world.now + seconds
        self.then(then)

    @rule(who=WHO, then=THEN)
    def the_store_lets_a_healthy_lease_end(self, who: int, then: float) -> None:
        self.cluster.store.lose_key(self.machine(who).name)
        self.then(then)

    @rule(who=WHO, seconds=SPANS, then=THEN)
    def a_stale_leader_answers_a_node(self, who: int, seconds: float, then: float) -> None:
        self.machine(who).link.leave_to_a_stale_leader(seconds)
        self.then(then)

    @rule(seconds=SPANS, then=THEN)
    def watches_are_silent(self, seconds: float, then: float) -> None:
        self.cluster.store.hold_watches(seconds)
        self.then(then)

    # --- machines and processes ---------------------------------------------------------------------------

    @rule(who=WHO, seconds=SPANS, then=THEN)
    def a_keeper_is_stopped(self, who: int, seconds: float, then: float) -> None:
        self.keeper(who).pause(seconds)
        self.then(then)

    @rule(who=WHO, point=POINTS, before=MOMENTS, after=MOMENTS, then=THEN)
    def a_keeper_stutters(self, who: int, point: str, before: float, after: float, then: float) -> None:
        self.keeper(who).gaps[point] = Gap(before, after)
        self.then(then)

    @rule(before=st.sampled_from([4.0, 6.0, 10.0]), then=THEN)
    def an_owner_stutters_when_it_pets(self, before: float, then: float) -> None:
        self.keeper(0).gaps["pet"] = Gap(before, 60.0)
        self.then(then)

    @rule(who=WHO, seconds=SPANS, then=THEN)
    def a_machine_stands_still(self, who: int, seconds: float, then: float) -> None:
        self.machine(who).freeze(seconds)
        self.then(then)

    @rule(who=WHO, point=POINTS, seconds=MOMENTS, then=THEN)
    def a_machine_stands_still_at_a_bad_moment(self, who: int, point: str, seconds: float, then: float) -> None:
        machine = self.machine(who)
        self.keeper(who).gaps[point] = Gap(0.0, happens=lambda: machine.freeze(seconds))
        self.then(then)

    @rule(who=WHO, point=POINTS, then=THEN)
    def a_healthy_lease_ends_at_a_bad_moment(self, who: int, point: str, then: float) -> None:
        name = self.machine(who).name
        self.keeper(who).gaps[point] = Gap(0.0, happens=lambda: self.cluster.store.lose_key(name))
        self.then(then)

    @rule(who=WHO, after=SHORT, then=THEN)
    def a_keeper_crashes(self, who: int, after: float, then: float) -> None:
        self.machine(who).crash_keeper(after)
        self.then(then)

    @rule(who=WHO, seconds=SPANS, then=THEN)
    def killing_hangs(self, who: int, seconds: float, then: float) -> None:
        self.machine(who).hang_until = self.cluster.world.now + seconds
        self.then(then)

    @rule(who=WHO, then=THEN)
    def the_power_fails(self, who: int, then: float) -> None:
        self.machine(who).lose_power(self.cluster.shape.boot_takes)
        self.then(then)

    # --- the other side and the operator ------------------------------------------------------------------

    @rule(seconds=SPANS, then=THEN)
    def the_taker_is_stopped(self, seconds: float, then: float) -> None:
        assert self.cluster.taker.process is not None
        self.cluster.taker.process.pause(seconds)
        self.then(then)

    @rule(then=THEN)
    def the_taker_is_another_one(self, then: float) -> None:
        self.cluster.taker.start()
        self.then(then)

    @rule(seconds=SPANS, then=THEN)
    def the_taker_loses_the_store(self, seconds: float, then: float) -> None:
        self.cluster.taker.link.cut(seconds)
        self.then(then)

    @rule(who=WHO, seconds=st.sampled_from([30.0, 3600.0, -3600.0]), then=THEN)
    def somebody_sets_the_wall_clock(self, who: int, seconds: float, then: float) -> None:
        clock = self.cluster.taker.clock if who == 0 else self.machine(who).clock
        clock.jumped += seconds
        self.then(then)

    @precondition(lambda self: self.cluster.agents)
    @rule(who=WHO, mode=st.sampled_from(Agent), later=SPANS, then=THEN)
    def a_fence_agent_behaves(self, who: int, mode: Agent, later: float, then: float) -> None:
        agent = self.cluster.agents[self.machine(who).name]
        agent.mode, agent.later = mode, later
        self.then(then)

    @rule(which=WHO, who=WHO, then=THEN)
    def a_group_is_wanted_elsewhere(self, which: int, who: int, then: float) -> None:
        self.cluster.wishes.placed[self.group(which)] = self.machine(who).name
        self.then(then)

    @rule(then=THEN)
    def the_placement_changes_its_mind(self, then: float) -> None:
        self.cluster.wishes.contrary = not self.cluster.wishes.contrary
        self.then(then)

    @rule(which=WHO, then=THEN)
    def the_operator_makes_sure_that_an_owner_is_off(self, which: int, then: float) -> None:
        self.cluster.acknowledge(self.group(which))
        self.then(then)

    @rule(who=WHO, then=THEN)
    def the_operator_switches_a_machine_on(self, who: int, then: float) -> None:
        self.machine(who).switch_on()
        self.then(then)

    @rule(then=THEN)
    def nothing_happens(self, then: float) -> None:
        self.then(then)
