"""What an operator would see, told once each in a cluster without drift: who serves, since when, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.cluster.model import Basis
from appliance.cluster.names import GroupName, NodeName
from appliance.ownership import owner, taker
from appliance.ownership.decisions import AskOperator, OrderFence, Reason
from appliance.ownership.owner import Identity
from tests.unit.protocol.cluster import SETUPS, Cluster, Shape
from tests.unit.protocol.drivers import Protocol
from tests.unit.protocol.machines import Agent

MAIL, A, B = GroupName("mail"), NodeName("a"), NodeName("b")


def serving(setup: str, groups: int = 1) -> Cluster:
    """A quiet cluster in which `a` serves. Booting takes long, so that who comes back is nobody's rescue."""
    cluster = Cluster(Shape(SETUPS[setup], groups=groups, boot_takes=40.0), Protocol(owner, taker, Identity))
    cluster.world.advance(10.0)
    assert {cluster.serving(group) for group in cluster.volumes} == {A}
    return cluster


def basis(cluster: Cluster) -> Basis | None:
    """Why the group was given to its owner."""
    return cluster.store.view().owners[MAIL].record.basis


def seconds_until(cluster: Cluster, condition: Callable[[], bool], limit: float = 60.0) -> float:
    """True seconds until the condition holds."""
    began = cluster.world.now
    while not condition():
        assert cluster.world.now < began + limit
        cluster.world.advance(0.1)
    return cluster.world.now - began


def cut_off(cluster: Cluster, seconds: float = 300.0) -> None:
    """`a` is unplugged."""
    machine = cluster.machines[A]
    machine.link.cut(seconds)
    machine.peers_cut_until = cluster.world.now + seconds


@pytest.mark.parametrize("setup", ["power, virtual", "power and watchdog", "storage, virtual"])
def test_a_silent_node_is_fenced_and_replaced_within_seven_seconds(setup: str) -> None:
    cluster = serving(setup)
    cut_off(cluster)
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) == B) < 7.0
    assert basis(cluster) is Basis.FENCED


@pytest.mark.parametrize("setup", ["power, virtual", "power and watchdog"])
def test_a_node_whose_agent_alone_is_silent_is_not_cut_off(setup: str) -> None:
    cluster = serving(setup)
    cluster.machines[A].peers_cut_until = cluster.world.now + 60.0
    for _ in range(300):
        cluster.world.advance(0.1)
        assert cluster.machines[A].power
        assert cluster.serving(MAIL) == A


def test_a_node_that_only_lost_the_store_is_replaced_too() -> None:
    cluster = serving("power, virtual")
    cluster.machines[A].link.cut(300.0)
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) == B) < 12.0


def test_without_a_fence_the_watchdogs_time_passes_first() -> None:
    cluster = serving("watchdog")
    keeper = cluster.machines[A].keeper
    assert keeper is not None
    keeper.pause(300.0)
    took = seconds_until(cluster, lambda: cluster.serving(MAIL) == B)
    timing = cluster.timing
    assert timing.takeover + timing.margin - timing.renew < took < timing.takeover + timing.margin + 4.0
    assert basis(cluster) is Basis.WAITED


def test_a_fence_that_fails_leaves_the_watchdogs_time() -> None:
    cluster = serving("power and watchdog")
    cluster.agents[A].mode = Agent.SAYS_DONE_AND_NEVER_DOES_IT
    cut_off(cluster)
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) == B) > cluster.timing.takeover
    assert basis(cluster) is Basis.WAITED


@pytest.mark.parametrize("mode", [Agent.REFUSES, Agent.HANGS, Agent.SAYS_DONE_AND_NEVER_DOES_IT])
def test_a_group_stays_down_when_the_old_owner_cannot_be_fenced(mode: Agent) -> None:
    cluster = serving("power, virtual")
    cluster.agents[A].mode = mode
    cut_off(cluster)
    cluster.world.advance(60.0)
    assert cluster.serving(MAIL) is None
    assert cluster.taker.last[MAIL].reason in {
        Reason.NO_FENCE_NO_WATCHDOG,
        Reason.FENCE_UNVERIFIED,
        Reason.SESSION_UNRENEWED,
    }


def fenced_on_the_wrong_plug(late: float) -> Cluster:
    """`a` lost the store, is ordered off by a fence on another plug, and reaches the store again, `late` at first."""
    cluster = serving("power, virtual")
    cluster.agents[A].wrong_plug = True
    link = cluster.machines[A].link
    link.cut(300.0)
    seconds_until(cluster, lambda: isinstance(cluster.taker.last[MAIL], OrderFence))
    link.heal()
    link.slow(3.0, late, 0.0)
    cluster.world.advance(20.0)
    return cluster


def missed(cluster: Cluster) -> bool:
    """Whether the fence is known to have hit something else."""
    fence = cluster.taker.mind.fences.get(MAIL)
    return fence is not None and fence.state is taker.FenceState.MISSED


LATE = [tenths / 10 for tenths in range(15)]


def test_a_fence_on_the_wrong_plug_takes_nothing_from_an_owner_that_renews_again() -> None:
    """At whatever moment that is: who is able to write is checked all the time."""
    found = [cluster for late in LATE if missed(cluster := fenced_on_the_wrong_plug(late))]
    assert found
    for cluster in found:
        assert cluster.serving(MAIL) == A


def test_a_fence_that_missed_is_not_relied_on_when_the_same_session_falls_silent_later() -> None:
    cluster = next(cluster for late in LATE if missed(cluster := fenced_on_the_wrong_plug(late)))
    cut_off(cluster)
    cluster.world.advance(60.0)
    assert cluster.serving(MAIL) is None
    assert isinstance(cluster.taker.last[MAIL], AskOperator)


def test_a_node_that_is_reached_again_is_not_cut_off_before_it_had_time_to_renew() -> None:
    cluster = serving("power, virtual")
    cluster.agents[A].mode = Agent.SAYS_DONE_AND_NEVER_DOES_IT
    cut_off(cluster, seconds=12.0)
    seconds_until(cluster, lambda: cluster.world.now >= cluster.machines[A].peers_cut_until)
    cluster.agents[A].mode = Agent.GOOD
    cluster.machines[A].link.cut(2.0)  # its connection to the store is up later than its answers to probes
    cluster.world.advance(60.0)
    assert cluster.machines[A].power
    assert cluster.serving(MAIL) == A


def test_with_neither_fence_nor_watchdog_the_operator_is_asked_and_believed() -> None:
    cluster = serving("neither")
    cut_off(cluster)
    cluster.world.advance(60.0)
    assert cluster.serving(MAIL) is None
    assert isinstance(cluster.taker.last[MAIL], AskOperator)
    cluster.acknowledge(MAIL)
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) == B) < 4.0
    assert basis(cluster) is Basis.ACKNOWLEDGED


def test_a_planned_move_takes_no_waiting() -> None:
    cluster = serving("neither", groups=2)
    cluster.wishes.placed[MAIL] = B
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) == B) < 5.0
    assert basis(cluster) is Basis.HANDED_OVER
    assert cluster.serving(GroupName("more")) == A


def test_a_keeper_that_was_restarted_begins_with_nothing_and_gets_its_group_back() -> None:
    cluster = serving("neither")
    cluster.machines[A].crash_keeper(0.5)
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) is None) < 2.0
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) == A) < 5.0
    assert basis(cluster) is Basis.RESTARTED


def test_all_groups_of_a_dead_node_move_at_once() -> None:
    cluster = serving("watchdog", groups=2)
    cluster.machines[A].lose_power(None)
    both = list(cluster.volumes)
    seconds_until(cluster, lambda: cluster.serving(both[0]) == B)
    assert seconds_until(cluster, lambda: cluster.serving(both[1]) == B) < 3.0


def test_without_a_quorum_groups_stop_and_nothing_starts_anew() -> None:
    cluster = serving("watchdog")
    cluster.store.no_quorum_until = cluster.world.now + 60.0
    timing = cluster.timing
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) is None) <= timing.demote + timing.kill
    cluster.world.advance(40.0)
    assert cluster.serving(MAIL) is None
    assert all(machine.power for machine in cluster.machines.values())
    seconds_until(cluster, lambda: cluster.serving(MAIL) is not None)


def test_a_group_that_may_outlive_the_store_goes_on_without_a_quorum() -> None:
    cluster = serving("storage, outliving the store")
    cluster.store.no_quorum_until = cluster.world.now + 600.0
    cluster.world.advance(300.0)
    assert cluster.serving(MAIL) == A


def test_an_owner_whose_storage_key_was_taken_without_a_takeover_begins_anew() -> None:
    cluster = serving("storage, virtual")
    cluster.volumes[MAIL].forget(A)
    assert seconds_until(cluster, lambda: cluster.serving(MAIL) == A) < 6.0


def test_a_drop_that_hangs_is_ended_by_the_watchdog() -> None:
    cluster = serving("watchdog")
    machine = cluster.machines[A]
    machine.hang_until = cluster.world.now + 300.0
    machine.link.cut(300.0)
    assert seconds_until(cluster, lambda: not machine.power) <= cluster.timing.watchdog + cluster.timing.reply
