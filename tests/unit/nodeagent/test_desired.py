"""Desired state from raw records."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cluster import keys
from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import EngineName, GroupName, InstanceId, NodeName
from appliance.coordination.store import Record
from nodeagent.agent import desired

ME = NodeName("mail1")
POSTFIX = InstanceId(EngineName("postfix"), GroupName("mail"))
GROUP = ServiceGroup(name=GroupName("mail"), services=(EngineName("dovecot"), EngineName("postfix")), candidates=(ME,))


def record(key: str, value: str) -> Record:
    return Record(key, value, 1, 1)


def test_records_are_sorted_by_what_they_say() -> None:
    found = desired.read(
        [
            record(keys.group(GROUP.name), GROUP.model_dump_json()),
            record(keys.setting("system", "-", "smtp.x"), "5"),
            record(keys.restart(POSTFIX, ME), "3"),
            record(keys.restart(POSTFIX, NodeName("mail2")), "9"),
            record(keys.stopped(POSTFIX, ME), "1"),
        ],
        ME,
    )
    assert found.groups == {GROUP.name: GROUP}
    assert [r.key for r in found.settings] == [keys.setting("system", "-", "smtp.x")]
    assert found.restarts == {POSTFIX: 3}
    assert found.stopped == {POSTFIX}
    assert found.unreadable == ()


def test_an_unreadable_record_is_told_and_the_rest_stays() -> None:
    found = desired.read(
        [
            record(keys.GROUPS + "broken", "{not json"),
            record(keys.restart(POSTFIX, ME), "many"),
            record(keys.group(GROUP.name), GROUP.model_dump_json()),
        ],
        ME,
    )
    assert list(found.groups) == [GROUP.name]
    assert len(found.unreadable) == 2


def test_a_record_of_a_newer_release_is_read() -> None:
    newer = GROUP.model_dump_json().replace("{", '{"invented_later": 1, ', 1)
    assert desired.read([record(keys.group(GROUP.name), newer)], ME).groups == {GROUP.name: GROUP}


def test_kept_records_come_back_and_a_torn_file_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "desired.json"
    records = [record(keys.group(GROUP.name), GROUP.model_dump_json())]
    desired.keep(records, file)
    assert desired.kept(file) == records
    file.write_text(file.read_text()[:20])
    assert desired.kept(file) == []


def test_a_group_whose_record_turned_to_garbage_stays_what_it_was() -> None:
    before = desired.read([record(keys.group(GROUP.name), GROUP.model_dump_json())], ME)
    after = desired.read([record(keys.group(GROUP.name), "garbage"), record(keys.node(ME), "garbage")], ME, before)
    assert after.groups == before.groups
    assert len(after.unreadable) == 2
    assert desired.read([], ME, before).groups == {}, "a deleted group is gone"


def test_a_restart_counter_that_is_no_number_leaves_the_last_one_in_force() -> None:
    key = keys.restart(POSTFIX, ME)
    before = desired.read([record(key, "3")], ME)
    for broken in ("many", "", "[" * 100_000):
        after = desired.read([record(key, broken)], ME, before)
        assert after.restarts == {POSTFIX: 3}
        assert after.unreadable == (key,)


def test_a_node_knows_all_nodes_and_an_unreadable_one_stays_what_it_was() -> None:
    other = Node(name=NodeName("mail2"), roles=frozenset({Role.STORE}))
    before = desired.read([record(keys.node(other.name), other.model_dump_json())], ME)
    assert before.nodes == {other.name: other}
    assert desired.read([record(keys.node(other.name), "garbage")], ME, before).nodes == {other.name: other}


@pytest.mark.parametrize(
    ("roles", "engines"),
    [
        pytest.param({Role.WITNESS}, ("etcd",), id="witness"),
        pytest.param({Role.EDGE, Role.WEB}, ("slapd",), id="edge"),
        pytest.param({Role.CONTROL, Role.DIRECTORY}, ("etcd", "slapd"), id="control-and-directory"),
        pytest.param({Role.DATABASE}, (), id="database"),
    ],
)
def test_a_node_runs_for_itself_what_its_roles_need(roles: set[Role], engines: tuple[str, ...]) -> None:
    assert desired.local(Node(name=ME, roles=frozenset(roles))).services == engines
