"""What operators do with groups and nodes, written to a real store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.cluster import keys
from appliance.cluster.decided import Acknowledgement, FenceRequest, FenceSpec, Wish
from appliance.cluster.model import (
    SCHEMA_VERSION,
    Node,
    Ownership,
    Role,
    ServiceGroup,
    Session,
    VolumeDriver,
    VolumeSpec,
)
from appliance.cluster.names import EngineName, GroupName, NodeName
from appliance.cluster.report import InstanceReport, NodeReport
from appliance.coordination.store import Store
from appliance.errors import AlreadyExists, BadInput, NotFound, PosthouseError
from appliance.operations import groups, nodes
from appliance.operations.overview import GroupState, read
from tests.integration.etcd_server import EtcdServer, make_keys
from tests.integration.store_process import wait_until_ready

A, B = NodeName("a"), NodeName("b")
MAIL = GroupName("mail")
SHARED = VolumeSpec(driver=VolumeDriver.BLOCK, source="/dev/sdb")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    assert shutil.which("etcd"), "needs Debian's etcd-server"
    pki: Path = tmp_path_factory.mktemp("pki")
    make_keys(pki)
    [made] = EtcdServer.members_of(tmp_path_factory.mktemp("data"), pki, 1)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def store(server: EtcdServer) -> Iterator[Store]:
    with server.store() as made:
        wait_until_ready(made)
        for record in made.list(keys.PREFIX)[0]:
            made.delete(record.key)
        for name in (A, B):
            made.put(keys.node(name), Node(name=name, roles=frozenset({Role.STORE})).model_dump_json())
        yield made


def group(name: str = "mail") -> ServiceGroup:
    return ServiceGroup(name=GroupName(name), volume=SHARED, candidates=(A, B), services=(EngineName("dovecot"),))


def test_a_group_that_the_next_release_wrote_is_read_and_not_written_over(store: Store) -> None:
    text = json.dumps({**json.loads(group().model_dump_json()), "schema_version": SCHEMA_VERSION + 1, "more": 1})
    store.put(keys.group(MAIL), text)
    assert groups.known(store, MAIL)[0].candidates == (A, B)
    with pytest.raises(PosthouseError, match="newer release"):
        groups.change(store, MAIL, {"priority": 5})
    record = store.get(keys.group(MAIL))
    assert record is not None
    assert record.value == text


def own(store: Store, node: NodeName) -> int:
    epoch = store.create(keys.session(node), Session(node=node, boot_id="x").model_dump_json()).revision
    store.put(keys.owner(MAIL), Ownership(group=MAIL, node=node, session_epoch=epoch).model_dump_json())
    return epoch


def test_a_group_is_made_once_changed_and_forgotten(store: Store) -> None:
    groups.create(store, group())
    with pytest.raises(AlreadyExists):
        groups.create(store, group())
    changed = groups.change(store, MAIL, {"addresses": (ip_address("10.0.0.10"),), "priority": 7})
    assert groups.known(store, MAIL)[0] == changed
    groups.delete(store, MAIL)
    with pytest.raises(NotFound):
        groups.known(store, MAIL)


def test_the_volume_of_an_owned_group_stays_and_the_group_too(store: Store) -> None:
    groups.create(store, group())
    own(store, A)
    with pytest.raises(BadInput) as refused:
        groups.change(store, MAIL, {"volume": VolumeSpec(driver=VolumeDriver.BLOCK, source="/dev/sdc").model_dump()})
    assert refused.value.field == "volume"
    with pytest.raises(BadInput):
        groups.delete(store, MAIL)
    assert groups.known(store, MAIL)[0] == group()
    groups.change(store, MAIL, {"priority": 1})


def test_a_folder_of_one_node_becomes_a_shared_volume_once_its_engines_are_stopped(store: Store) -> None:
    folder = ServiceGroup(name=MAIL, candidates=(A,), services=(EngineName("dovecot"),))
    groups.create(store, folder)
    own(store, A)
    fields = {"volume": SHARED.model_dump(), "candidates": (A, B)}
    groups.stop(store, MAIL)
    stopped = keys.stopped(folder.instances[0], A)
    assert store.get(stopped) is not None
    for state in ("running", "stopped"):
        engine = InstanceReport(instance="dovecot@mail", state=state, healthy=True)
        report = NodeReport(
            node=A, release="1", reported_at=0, store_connected=True, owned_groups=("mail",), instances=(engine,)
        )
        store.put(keys.status(A), report.model_dump_json())
        if state == "running":
            with pytest.raises(BadInput):
                groups.change(store, MAIL, fields)
    assert [line.state for line in read(store).groups] == [GroupState.STOPPED]
    assert groups.change(store, MAIL, fields).volume == SHARED
    groups.start(store, MAIL)
    assert store.get(stopped) is None
    assert store.get(keys.wish(MAIL)) is None


def report_of(store: Store, state: str) -> None:
    engine = InstanceReport(instance="dovecot@mail", state=state, healthy=True)
    report = NodeReport(
        node=A, release="1", reported_at=0, store_connected=True, owned_groups=("mail",), instances=(engine,)
    )
    store.put(keys.status(A), report.model_dump_json())


def test_a_folder_goes_to_no_other_node_while_its_engines_run_and_is_forgotten_once_they_are_stopped(
    store: Store,
) -> None:
    groups.create(store, ServiceGroup(name=MAIL, candidates=(A,), services=(EngineName("dovecot"),)))
    own(store, A)
    report_of(store, "running")
    with pytest.raises(BadInput):
        groups.change(store, MAIL, {"candidates": (B,)})
    with pytest.raises(BadInput):
        groups.delete(store, MAIL)
    groups.change(store, MAIL, {"priority": 3})
    groups.stop(store, MAIL)
    report_of(store, "stopped")
    groups.delete(store, MAIL)
    assert store.get(keys.owner(MAIL)) is None
    assert [group.name for group, _ in groups.groups(store).values()] == []


def test_wishes_are_written_and_taken_back(store: Store) -> None:
    groups.create(store, group())
    with pytest.raises(NotFound):
        groups.move(store, MAIL, NodeName("nobody"))
    groups.move(store, MAIL, B)
    record = store.get(keys.wish(MAIL))
    assert record is not None
    assert Wish.model_validate_json(record.value) == Wish(group=MAIL, node=B)
    groups.stop(store, MAIL)
    record = store.get(keys.wish(MAIL))
    assert record is not None
    assert Wish.model_validate_json(record.value).stopped
    groups.start(store, MAIL)
    assert store.get(keys.wish(MAIL)) is None


def test_an_operators_word_is_about_the_very_session_that_owns(store: Store) -> None:
    with pytest.raises(nodes.NothingToAcknowledge):
        nodes.acknowledge(store, A)
    groups.create(store, group())
    epoch = own(store, A)
    store.delete(keys.session(A))
    assert nodes.acknowledge(store, A) == epoch
    record = store.get(keys.acknowledgement(A))
    assert record is not None
    said = Acknowledgement.model_validate_json(record.value)
    assert (said.node, said.session_epoch) == (A, epoch)
    assert "@" in said.by


def test_a_fence_is_asked_for_only_where_there_is_one(store: Store) -> None:
    groups.create(store, group())
    epoch = own(store, A)
    with pytest.raises(BadInput):
        nodes.request_fence(store, A)
    nodes.set_fence(store, FenceSpec(node=A, agent="fence_lab", parameters={"plug": "a"}))
    nodes.request_fence(store, A)
    record = store.get(keys.fence_request(A))
    assert record is not None
    assert FenceRequest.model_validate_json(record.value).session_epoch == epoch


def test_a_drained_node_is_shown_so_until_it_is_resumed(store: Store) -> None:
    nodes.drain(store, A)
    nodes.drain(store, A)
    assert [(line.name, line.drained) for line in read(store).nodes] == [(A, True), (B, False)]
    assert nodes.resume(store, A)
    assert not nodes.resume(store, A)
    assert not any(line.drained for line in read(store).nodes)
