"""What the leader wakes the operator for."""

from __future__ import annotations

from typing import Any

from appliance.cluster import keys
from appliance.cluster.decided import OperatorNeeded, Wish
from appliance.cluster.model import Node, Role, ServiceGroup, Session, VolumeDriver, VolumeSpec
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.timing import Timing
from appliance.ownership.records import SessionSeen
from controller.alarms import settings_of, standing
from controller.cases import Known
from controller.view import Look, Seen, View

A, B = NodeName("a"), NodeName("b")
MAIL = GroupName("mail")


def known(*, usable: frozenset[NodeName] = frozenset({A, B}), stopped: bool = False) -> Known:
    nodes = {name: Seen(Node(name=name, roles=frozenset({Role.STORE})), 1) for name in (A, B)}
    volume = VolumeSpec(driver=VolumeDriver.BLOCK, source="/dev/sdb")
    tables: dict[str, Any] = {
        keys.NODES: nodes,
        keys.GROUPS: {MAIL: Seen(ServiceGroup(name=MAIL, volume=volume, candidates=(A, B)), 1)},
        keys.WISHES: {MAIL: Seen(Wish(group=MAIL, stopped=True), 1)} if stopped else {},
    }
    sessions = {A: SessionSeen(Session(node=A, boot_id="x"), 1, 1)}
    return Known(View(tables=tables), Look(read_at=0.0, sessions=sessions, owners={}), Timing(), usable=usable)


def test_a_cluster_that_is_well_wakes_nobody() -> None:
    assert standing(known(), {MAIL}, {MAIL: A}, ()) == {}


def test_nodes_that_are_silent_or_gone_are_told_apart() -> None:
    found = standing(known(usable=frozenset()), {MAIL}, {MAIL: A}, ())
    assert {name: notice.key for name, notice in found.items()} == {
        "node-lost-a": "alert-node-silent",
        "node-lost-b": "alert-node-gone",
    }


def test_a_group_that_nobody_serves_is_told_with_what_it_waits_for() -> None:
    needed = OperatorNeeded(node=B, session_epoch=1, groups=(MAIL,))
    for goals, waiting, key in (
        ({MAIL: A}, (needed,), "alert-group-needs-you"),
        ({MAIL: None}, (), "alert-group-waits"),
        ({MAIL: A}, (), "alert-group-late"),
    ):
        assert standing(known(), set(), goals, waiting)["group-down-mail"].key == key


def test_what_an_operator_stopped_wakes_nobody() -> None:
    assert standing(known(stopped=True), set(), {MAIL: None}, ()) == {}


def test_a_setting_that_is_not_valid_counts_for_nothing() -> None:
    assert (
        settings_of({"alert.raise_after": '"soon"', "alert.syslog_server": '"[192.0.2.9]"'})["alert.raise_after"] == 30
    )
    assert settings_of({"alert.syslog_server": '"[192.0.2.9]"'})["alert.syslog_server"] == "[192.0.2.9]"
