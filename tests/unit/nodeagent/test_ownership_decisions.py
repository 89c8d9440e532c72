"""The keeper's decisions about exclusive groups, as tables, and the rules of its timing."""

from __future__ import annotations

import pytest

from appliance.cluster.model import Ownership, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, GroupName, NodeName, Seconds
from appliance.cluster.timing import Timing
from appliance.errors import BadInput
from nodeagent.ownership.decide import Acquire, Held, Plan, SeenOwner, adoptable, plan

ME, OTHER = NodeName("mail1"), NodeName("mail2")
MAIL = GroupName("mail")
MINE_ALONE = ServiceGroup(name=MAIL, candidates=(ME,))
SHARED = ServiceGroup(name=MAIL, candidates=(ME, OTHER))
EPOCH = 7


def owned_by(node: NodeName, epoch: int, revision: int = 3) -> SeenOwner:
    return SeenOwner(Ownership(group=MAIL, node=node, session_epoch=epoch), revision)


@pytest.mark.parametrize(
    ("group", "owner", "held", "expected"),
    [
        pytest.param(MINE_ALONE, None, {}, Plan(acquire=(Acquire(MAIL, True, 0),)), id="unowned is acquired"),
        pytest.param(
            MINE_ALONE, owned_by(ME, 5), {}, Plan(acquire=(Acquire(MAIL, True, 3),)), id="own stale record is renewed"
        ),
        pytest.param(MINE_ALONE, owned_by(ME, EPOCH), {MAIL: Held(True, 3)}, Plan(), id="owned stays"),
        pytest.param(MINE_ALONE, owned_by(OTHER, 5), {}, Plan(contested=(MAIL,)), id="another's is never taken"),
        pytest.param(SHARED, None, {}, Plan(), id="shared groups wait for the controller"),
        pytest.param(SHARED, None, {MAIL: Held(True, 3)}, Plan(release=(MAIL,)), id="no longer exclusive is released"),
        pytest.param(None, None, {MAIL: Held(True, 3)}, Plan(release=(MAIL,)), id="a deleted group is released"),
        pytest.param(None, None, {LOCAL_GROUP: Held(True)}, Plan(), id="the local group is never released"),
    ],
)
def test_plan_of_one_group(
    group: ServiceGroup | None, owner: SeenOwner | None, held: dict[GroupName, Held], expected: Plan
) -> None:
    groups = {MAIL: group} if group else {}
    owners = {MAIL: owner} if owner else {}
    assert plan(ME, EPOCH, groups, owners, held) == expected


def test_only_a_single_voter_serves_a_group_without_the_store() -> None:
    remembered = {MAIL: Held(True), GroupName("shared"): Held(False)}
    assert adoptable(remembered, only_voter=False) == {}
    assert adoptable(remembered, only_voter=True) == {MAIL: Held(exclusive=True)}


@pytest.mark.parametrize(
    ("timing", "rule"),
    [
        (Timing(renew=Seconds(3.0)), "R + 2r <= D"),
        (Timing(kill=Seconds(2.5)), "D + K <= W"),
        (Timing(takeover=Seconds(9.0)), "r + W + delta <= T"),
    ],
)
def test_timing_that_breaks_an_inequality_is_refused_by_name(timing: Timing, rule: str) -> None:
    with pytest.raises(BadInput) as refused:
        timing.check()
    assert refused.value.facts["rule"] == rule


def test_a_watchdog_as_the_only_fence_needs_a_longer_takeover() -> None:
    Timing().check()
    with pytest.raises(BadInput):
        Timing().check(watchdog_only=True)
    Timing(takeover=Seconds(15.0)).check(watchdog_only=True)
