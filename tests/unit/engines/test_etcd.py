"""etcd's configuration: what is rendered, and what the check finds before etcd would."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, EngineName, InstanceId, NodeName
from appliance.engines.base import Change, ConfigurationRefused, RenderContext
from appliance.engines.etcd import Etcd
from appliance.engines.etcd.configuration import variables
from appliance.node_file import STORE_NAME
from appliance.pki.authority import Authority, Pair, Profile
from appliance.pki.pairs import PairSlot
from appliance.pki.upkeep import LOOPBACK

AUTHORITY = Authority.create("test.example.com")
GOOD = AUTHORITY.issue(Profile.NODE, "n1", ["localhost", STORE_NAME], LOOPBACK)
NODE = AUTHORITY.issue(Profile.NODE, "n1", ["localhost"], LOOPBACK)
FOREIGN = Authority.create("test.example.com").issue(Profile.NODE, "n1", [STORE_NAME])


def context() -> RenderContext:
    return RenderContext(
        InstanceId(EngineName("etcd"), LOCAL_GROUP),
        ServiceGroup(name=LOCAL_GROUP),
        Node(name=NodeName("n1"), roles=frozenset({Role.CONTROL})),
        "n1.example.com",
        {},
    )


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    folder = tmp_path / "pki"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(AUTHORITY.pair().certificate)
    return folder


def own_group(_: str) -> int:
    return os.getgid()


def install(pki: Path, pair: Pair, key_mode: int = 0o640) -> None:
    slot = PairSlot(pki, "etcd")
    slot.write(pair, lambda _: os.getgid())
    slot.key_path.chmod(key_mode)


def written(pki: Path, folder: Path, change: Callable[[str], str] = str) -> Etcd:
    engine = Etcd(pki, group_id=own_group)
    (folder / "etcd.env").write_text(change(engine.render(context())["etcd.env"].text))
    return engine


def test_the_member_listens_on_loopback_and_asks_everybody_for_a_certificate() -> None:
    file = Etcd().render(context())["etcd.env"]
    data = variables(file.text)
    assert file.change is Change.RESTART
    assert data["ETCD_NAME"] == "n1"
    assert data["ETCD_DATA_DIR"] == "/var/lib/posthouse/local/etcd"
    assert data["ETCD_LISTEN_CLIENT_URLS"] == "https://127.0.0.1:2379"
    assert data["ETCD_INITIAL_CLUSTER"] == "n1=https://127.0.0.1:2380"
    for port in ("ETCD_", "ETCD_PEER_"):
        assert data[f"{port}CERT_FILE"] == "/etc/posthouse/pki/etcd.crt"
        assert data[f"{port}KEY_FILE"] == "/etc/posthouse/pki/etcd.key"
        assert data[f"{port}TRUSTED_CA_FILE"] == "/etc/posthouse/pki/ca.crt"
        assert data[f"{port}CLIENT_CERT_AUTH"] == "true"
    assert data["ETCD_PEER_CERT_ALLOWED_HOSTNAME"] == STORE_NAME


def test_a_good_configuration_passes(pki: Path, tmp_path: Path) -> None:
    install(pki, GOOD)
    written(pki, tmp_path).check(context(), tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        pytest.param(lambda text: text + "ETCD_SNAPSHOT_CUONT=5\n", "cuont", id="a-name-etcd-would-ignore"),
        pytest.param(lambda text: text.replace("https:", "http:"), "https", id="no-tls"),
        pytest.param(lambda text: text.replace("CLIENT_CERT_AUTH=true", "CLIENT_CERT_AUTH=false"), "auth", id="open"),
        pytest.param(lambda _: "a: [", "", id="no-variables"),
        pytest.param(lambda text: text.replace(f"HOSTNAME={STORE_NAME}", "HOSTNAME=n1"), "hostname", id="any-peer"),
        pytest.param(lambda text: text.replace("etcd.key", "etcd2.key").replace("etcd.crt", "etcd2.crt"), "etcd2",
                     id="no-such-pair"),
    ],
)  # fmt: skip
def test_a_broken_configuration_is_refused(pki: Path, tmp_path: Path, change: Callable[[str], str], word: str) -> None:
    install(pki, GOOD)
    engine = written(pki, tmp_path, change)
    with pytest.raises(ConfigurationRefused) as caught:
        engine.check(context(), tmp_path)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("pair", "mode", "word"),
    [
        pytest.param(Pair(GOOD.certificate, NODE.key), 0o640, "does not belong", id="key-of-another"),
        pytest.param(FOREIGN, 0o640, "not issued by", id="another-authority"),
        pytest.param(NODE, 0o640, STORE_NAME, id="a-node-s-certificate"),
        pytest.param(GOOD, 0o600, "cannot be read", id="unreadable"),
    ],
)
def test_a_key_pair_that_etcd_could_not_use_is_refused(
    pki: Path, tmp_path: Path, pair: Pair, mode: int, word: str
) -> None:
    install(pki, pair, mode)
    engine = written(pki, tmp_path)
    with pytest.raises(ConfigurationRefused) as caught:
        engine.check(context(), tmp_path)
    assert word in str(caught.value)


def member(name: str, number: int, *, voter: bool) -> Node:
    return Node(
        name=NodeName(name), roles=frozenset({Role.CONTROL}), address=ip_address(f"10.0.0.{number}"), voter=voter
    )


def among(me: Node, *others: Node) -> RenderContext:
    nodes = {node.name: node for node in (me, *others)}
    return replace(context(), node=me, nodes=nodes)


def rendered(facts: RenderContext) -> dict[str, str]:
    return variables(Etcd().render(facts)["etcd.env"].text)


def test_a_member_among_others_listens_on_its_address_too_and_joins_those_who_vote() -> None:
    first, joining, later = member("n1", 1, voter=True), member("n2", 2, voter=False), member("n3", 3, voter=False)
    data = rendered(among(joining, first, later))
    assert data["ETCD_LISTEN_CLIENT_URLS"] == "https://127.0.0.1:2379,https://10.0.0.2:2379"
    assert data["ETCD_ADVERTISE_CLIENT_URLS"] == "https://10.0.0.2:2379"
    assert data["ETCD_INITIAL_CLUSTER"] == "n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380"
    assert data["ETCD_INITIAL_CLUSTER_STATE"] == "existing"
    assert (data["ETCD_HEARTBEAT_INTERVAL"], data["ETCD_ELECTION_TIMEOUT"]) == ("100", "1000")


def test_others_that_come_and_go_ask_nothing_of_a_member() -> None:
    me, other = member("n1", 1, voter=True), member("n2", 2, voter=True)
    before, after = (Etcd().render(among(me, *others)) for others in ((), (other,)))
    assert Etcd().change(before, after) is Change.NONE
    learner = replace_voter(me, voter=False)
    assert Etcd().change(Etcd().render(among(learner, other)), after) is Change.NONE
    assert Etcd().change(Etcd().render(context()), after) is Change.RESTART


def replace_voter(node: Node, *, voter: bool) -> Node:
    return node.model_copy(update={"voter": voter})


def test_a_new_member_does_not_start_before_it_knows_the_others(pki: Path, tmp_path: Path) -> None:
    install(pki, GOOD)
    engine = Etcd(pki, group_id=own_group)
    facts = among(member("n2", 2, voter=False))
    (tmp_path / "etcd.env").write_text(engine.render(facts)["etcd.env"].text)
    with pytest.raises(ConfigurationRefused, match="not known"):
        engine.check(facts, tmp_path)
