"""What the cluster's screen says of every combination of records."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from appliance.cli.cluster_status import screen
from appliance.cluster import keys
from appliance.cluster.decided import (
    ClusterEvent,
    Drain,
    FenceCheck,
    FenceProblem,
    FenceProgress,
    FenceRecord,
    FenceSpec,
    Leadership,
    Observation,
    Placement,
    Wish,
)
from appliance.cluster.model import Basis, Fact, Node, Ownership, OwnershipStage, Role, ServiceGroup, Session
from appliance.cluster.names import EngineName, GroupName, NodeName
from appliance.cluster.report import InstanceReport, NodeReport, StandbyReport
from appliance.coordination.store import Record
from appliance.operations.overview import GroupState, NodeState, Overview, overview

A, B, C = NodeName("a"), NodeName("b"), NodeName("c")
MAIL = GroupName("mail")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Records:
    """Records of a store, with rising revisions."""

    def __init__(self) -> None:
        self.all: dict[str, Record] = {}
        for name in (A, B, C):
            self.put(keys.node(name), Node(name=name, roles=frozenset({Role.CONTROL, Role.STORE})))
            self.put(keys.session(name), Session(node=name, boot_id="x"))
            self.put(keys.fence_spec(name), FenceSpec(node=name, agent="fence_lab"))
            self.report(name)
        self.put(keys.LEADER, Leadership(node=B))
        group = ServiceGroup(name=MAIL, services=(EngineName("dovecot"), EngineName("postfix")), candidates=(A, B))
        self.put(keys.group(MAIL), group)
        self.put(keys.placement(MAIL), Placement(group=MAIL, node=A))
        self.own(A)
        self.report(A, "running")

    def put(self, key: str, fact: Fact | str) -> None:
        text = fact if isinstance(fact, str) else fact.model_dump_json()
        revision = len(self.all) + 100
        self.all[key] = Record(key, text, revision, revision)

    def own(self, node: NodeName, stage: OwnershipStage = OwnershipStage.CONFIRMED) -> None:
        record = Ownership(group=MAIL, node=node, session_epoch=1, stage=stage, basis=Basis.FENCED)
        self.put(keys.owner(MAIL), record)

    def report(self, node: NodeName, state: str | None = None) -> None:
        instances = () if state is None else tuple(
            InstanceReport(instance=f"{engine}@mail", state=state, healthy=state == "running")
            for engine in ("dovecot", "postfix")
        )  # fmt: skip
        owned = ("local", "mail") if state is not None else ("local",)
        ready = (StandbyReport(group=MAIL, ready=True),) if state is None else ()
        report = NodeReport(
            node=node, release="1", reported_at=time.time(), store_connected=True, owned_groups=owned,
            instances=instances, standby=ready,
        )  # fmt: skip
        self.put(keys.status(node), report)

    def without(self, key: str) -> Records:
        del self.all[key]
        return self

    def seen(self) -> Overview:
        return overview(self.all.values(), 1000)


def mail(seen: Overview) -> GroupState:
    return next(line.state for line in seen.groups if line.name == MAIL)


def state_of(seen: Overview, name: NodeName) -> NodeState:
    return next(line.state for line in seen.nodes if line.name == name)


def test_a_cluster_that_is_well() -> None:
    seen = Records().seen()
    assert seen.healthy
    assert seen.leader == B
    assert [(line.name, line.groups, line.standby) for line in seen.nodes] == [
        (A, (MAIL,), ()), (B, (), (MAIL,)), (C, (), (MAIL,)),
    ]  # fmt: skip
    text = "\n".join(screen(seen))
    assert "The cluster is well" in text
    assert "!" not in text


def test_groups_are_told_apart() -> None:
    records = Records()
    records.own(A, OwnershipStage.GRANTED)
    assert mail(records.seen()) is GroupState.STARTING
    records = Records()
    records.report(A, "unhealthy")
    assert mail(records.seen()) is GroupState.ILL
    records.report(A, "starting")
    assert mail(records.seen()) is GroupState.STARTING
    records = Records()
    records.put(keys.placement(MAIL), Placement(group=MAIL, node=B))
    assert mail(records.seen()) is GroupState.MOVING
    records = Records().without(keys.owner(MAIL))
    assert mail(records.seen()) is GroupState.WAITING
    records.put(keys.wish(MAIL), Wish(group=MAIL, stopped=True))
    assert mail(records.seen()) is GroupState.STOPPED


def test_a_group_whose_owner_is_gone_is_never_called_active() -> None:
    seen = Records().without(keys.session(A)).seen()
    assert mail(seen) is GroupState.ILL
    assert not seen.healthy
    assert state_of(seen, A) is NodeState.GONE


def test_a_node_is_silent_when_two_others_get_no_answer() -> None:
    records = Records()
    records.put(keys.observation(B), Observation(observer=B, unanswered=frozenset({A})))
    assert state_of(records.seen(), A) is NodeState.ALIVE
    records.put(keys.observation(C), Observation(observer=C, unanswered=frozenset({A})))
    seen = records.seen()
    assert state_of(seen, A) is NodeState.SILENT
    assert not seen.healthy
    assert any("node a is silent" in line for line in screen(seen))


def test_a_fenced_node_that_came_back_is_alive() -> None:
    records = Records()
    epoch = records.all[keys.session(A)].create_revision
    fence = FenceRecord(node=A, session_epoch=epoch, progress=FenceProgress.VERIFIED)
    records.put(keys.fence(A), fence)
    assert state_of(records.seen(), A) is NodeState.FENCED
    records.put(keys.session(A), Session(node=A, boot_id="y"))
    assert state_of(records.seen(), A) is NodeState.ALIVE


@pytest.mark.parametrize("key", [keys.node(A), keys.owner(MAIL), keys.group(MAIL), keys.placement(MAIL)])
def test_what_cannot_be_read_is_named_and_the_rest_is_shown(key: str) -> None:
    records = Records()
    records.put(key, "{")
    seen = records.seen()
    assert seen.unreadable == (key,)
    assert not seen.healthy
    assert any(key in line for line in screen(seen))


def test_the_screen_tells_why_a_group_waits_and_what_happened_last() -> None:
    records = Records().without(keys.owner(MAIL)).without(keys.fence_spec(C))
    records.put(keys.drained(B), Drain(node=B, since=NOW))
    records.put(keys.placement(MAIL), Placement(group=MAIL, reason="cluster-node-no-fence", facts={"node": "a"}))
    event = ClusterEvent(
        at=NOW, by=B, part="failover", key="group-not-found", group=MAIL, node=A, facts={"group": "mail"}
    )
    records.put(f"{keys.EVENTS}1", event)
    text = "\n".join(screen(records.seen()))
    assert "group mail: node a has no fence" in text
    assert "node c has no fence" in text
    assert "drained" in text
    assert "failover  mail a: There is no group mail." in text


def test_when_a_fence_last_answered_is_shown_and_what_is_wrong_with_it() -> None:
    records = Records()
    spec = records.all[keys.fence_spec(A)].mod_revision
    assert "fence_lab, not read yet" in "\n".join(screen(records.seen()))
    records.put(keys.fence_check(A), FenceCheck(node=A, spec=spec, read_at=NOW))
    assert "fence_lab, read 2026-11-20" in "\n".join(screen(records.seen()))
    assert records.seen().nodes[0].fence_read == NOW
    records.put(keys.fence_check(A), FenceCheck(node=A, spec=spec, read_at=NOW, problem=FenceProblem.READS_OFF))
    assert "fence_lab: reads off!" in "\n".join(screen(records.seen()))
    records.put(keys.fence_spec(A), FenceSpec(node=A, agent="fence_lab"))
    assert records.seen().nodes[0].fence_problem is None  # that was about the fence before
