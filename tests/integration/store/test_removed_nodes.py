"""A server is removed, and another one gets its name: what the first one has opens nothing. On a real etcd."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from appliance import durable_files, node_file, paths
from appliance.cluster import keys
from appliance.cluster.decided import Drain
from appliance.cluster.model import Node, Ownership, OwnershipStage, Role, Session
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination import revoked
from appliance.coordination.connection import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.etcd_roles import EtcdRoles
from appliance.coordination.store import Record, Store, StoreUnavailable
from appliance.errors import PosthouseError
from appliance.installation import issued, removal
from appliance.installation import join_messages as messages
from appliance.installation.admitting import Admitting, Peer
from appliance.installation.removal import StillNeeded
from appliance.node_file import NodeFile, StoreAccess
from appliance.pki import requests, revocation
from appliance.pki.authority import Authority, Pair, Profile
from appliance.pki.upkeep import LOOPBACK, authority_paths
from tests.integration.etcd_server import EtcdServer, make_keys

CONTROL, GONE, GROUP = NodeName("n1"), NodeName("gone"), GroupName("mail")


class Listing(EtcdServer):
    """A member that reads the list of revoked certificates."""

    def command(self) -> list[str]:
        file = str(revocation.file(self.pki))
        return [*super().command(), "--client-crl-file", file, "--peer-crl-file", file]


Records = list[Record]  # inside a store, `list` is a method


class Cluster:
    """A store that knows its users, the authority, and a node that may be removed."""

    def __init__(self, folder: Path) -> None:
        self.pki = folder / "pki"
        self.authority = make_keys(self.pki)
        durable_files.replace(authority_paths(self.pki)[1], self.authority.pair().key, 0o600)
        first = revocation.listed(self.authority, None, ())
        revocation.keep(first, self.pki)
        self.server = Listing(folder, self.pki)
        self.server.start()
        self.roles = EtcdRoles([self.server.endpoint], Keys.read(self.pki), deadline=Seconds(15))
        self.roles.admit(CONTROL, frozenset({Role.CONTROL}))
        self.roles.enable()
        self.store = self.server.store(deadline=10)
        self.store.put(keys.REVOKED, first.model_dump_json())
        self.me = NodeFile(
            name=CONTROL, hostname="n1.example.com", roles=frozenset({Role.CONTROL}),
            address=ip_address("127.0.0.1"), store=StoreAccess(endpoints=(self.server.endpoint,)),
        )  # fmt: skip

    def join(self, name: NodeName = GONE, number: int = 1) -> Pair:
        """What the join service does for a node that may own groups; its pair."""
        pair = self.authority.issue(Profile.NODE, name, ["localhost"], LOOPBACK)
        issued.note(self.store, name, [pair.leaf()])
        node = Node(name=name, roles=frozenset({Role.STORE}), hostname=f"{name}.example.com", number=number)
        self.store.put(keys.node(name), node.model_dump_json())
        self.roles.admit(name, node.roles)
        return pair

    def live(self, name: NodeName = GONE) -> int:
        """Its keeper has a session; the epoch of it."""
        return self.store.create(keys.session(name), Session(node=name, boot_id="b").model_dump_json()).revision

    def drain(self, name: NodeName = GONE) -> None:
        self.store.put(keys.drained(name), Drain(node=name, since=datetime.now(UTC)).model_dump_json())

    def grant(self, epoch: int, name: NodeName = GONE) -> None:
        owner = Ownership(group=GROUP, node=name, session_epoch=epoch, stage=OwnershipStage.GRANTED)
        self.store.put(keys.owner(GROUP), owner.model_dump_json())

    def remove(self, store: Store | None = None, name: NodeName = GONE) -> None:
        removal.remove(store or self.store, self.me, name, self.pki)
        found = revoked.read(self.store)
        assert found is not None
        revocation.keep(found, self.pki)  # as every node's agent does

    def client(self, pair: Pair) -> EtcdStore:
        authority = self.authority.pair().certificate
        return EtcdStore([self.server.endpoint], Keys(authority, pair.certificate, pair.key), deadline=Seconds(3))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.store.close()
    made.roles.close()
    made.server.kill()


def test_the_old_key_stays_worthless_when_the_name_is_used_again(cluster: Cluster) -> None:
    old = cluster.join()
    with cluster.client(old) as there:
        there.get(keys.node(GONE))
    cluster.remove()
    new = cluster.join()
    with cluster.client(new) as there:
        assert there.get(keys.node(GONE)) is not None
    with cluster.client(old) as there, pytest.raises(StoreUnavailable):
        there.get(keys.node(GONE))
    assert revoked.contains(cluster.store, revocation.entry(GONE, old.leaf()).serial)
    assert not revoked.contains(cluster.store, revocation.entry(GONE, new.leaf()).serial)


def test_a_removed_member_of_the_store_is_no_member_s_peer(cluster: Cluster) -> None:
    """Who is let in at the port of the members may say that it is one of them."""

    def meets(pair: Pair) -> bool:
        context = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
        context.check_hostname = False
        (cluster.pki / "it.pem").write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(cluster.pki / "it.pem")
        asked = http.client.HTTPSConnection("127.0.0.1", cluster.server.peer_port, timeout=5, context=context)
        try:
            asked.request("GET", "/members")
            return asked.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()

    old = cluster.join()
    assert meets(old)
    cluster.remove()
    assert not meets(old)


def test_a_node_that_lives_is_drained_before_it_is_removed(cluster: Cluster) -> None:
    pair = cluster.join()
    cluster.live()
    with pytest.raises(StillNeeded) as caught:
        cluster.remove()
    assert caught.value.key == "cluster-remove-not-drained"
    with cluster.client(pair) as there:
        assert there.get(keys.node(GONE)) is not None, "nothing was changed"
    cluster.drain()
    cluster.remove()
    for key in (keys.node(GONE), keys.session(GONE), keys.drained(GONE)):
        assert cluster.store.get(key) is None


class Meanwhile(EtcdStore):
    """A store in which something happens after so many looks at the owners."""

    def __init__(self, cluster: Cluster, looks: int, happens: Callable[[], object]) -> None:
        super().__init__([cluster.server.endpoint], Keys.read(cluster.pki), deadline=Seconds(10))
        self._looks = looks
        self._happens = happens

    def list(self, prefix: str, *, deadline: Seconds | None = None) -> tuple[Records, int]:
        found = super().list(prefix, deadline=deadline)
        if prefix == keys.OWNERS:
            self._looks -= 1
            if self._looks == 0:
                self._happens()
        return found


def test_a_group_that_is_granted_at_that_moment_lets_the_node_stay(cluster: Cluster) -> None:
    pair = cluster.join()
    epoch = cluster.live()
    cluster.drain()
    with Meanwhile(cluster, 1, partial(cluster.grant, epoch)) as store, pytest.raises(StillNeeded) as caught:
        cluster.remove(store)
    assert caught.value.key == "cluster-remove-owns"
    with cluster.client(pair) as there:
        owned = there.get(keys.owner(GROUP))
        assert owned is not None
        there.put(keys.owner(GROUP), owned.value)  # it is a user as before, and confirms


@pytest.mark.parametrize("looks", [2, 3])
def test_a_grant_after_that_is_taken_back_with_the_session(cluster: Cluster, looks: int) -> None:
    cluster.join()
    epoch = cluster.live()
    cluster.drain()
    with Meanwhile(cluster, looks, partial(cluster.grant, epoch)) as store:
        cluster.remove(store)
    assert cluster.store.get(keys.owner(GROUP)) is None
    assert cluster.store.get(keys.session(GONE)) is None


def test_a_certificate_that_is_signed_at_that_moment_is_revoked_as_well(cluster: Cluster) -> None:
    cluster.join()
    late = cluster.authority.issue(Profile.NODE, GONE, ["localhost"], LOOPBACK).leaf()
    with Meanwhile(cluster, 3, partial(issued.note, cluster.store, GONE, [late])) as store:
        cluster.remove(store)
    assert revoked.contains(cluster.store, revocation.entry(GONE, late).serial)
    assert not cluster.store.list(keys.CERTIFICATES)[0]


@pytest.mark.parametrize("again", [False, True], ids=["gone", "its name is another server's"])
def test_a_certificate_that_is_noted_after_its_node_was_removed_is_revoked_and_not_handed_out(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    monkeypatch.setattr(paths, "NODE_FILE", tmp_path / "node.yaml")
    node_file.write(cluster.me, tmp_path / "node.yaml")
    peer = Peer(GONE, revocation.entry(GONE, cluster.join().leaf()).serial)
    asked = messages.CertifyRequest(requests={"node": requests.request(requests.new_key())})
    admitting, note = Admitting(cluster.me, cluster.pki, "0.1.0"), issued.note
    late: list[x509.Certificate] = []
    successor: list[Pair] = []

    def removed_first(store: Store, node: NodeName, certificates: Iterable[x509.Certificate]) -> None:
        late.extend(certificates)
        monkeypatch.setattr(issued, "note", note)
        cluster.remove()
        successor.extend([cluster.join(number=2)] if again else [])
        note(store, node, late)

    monkeypatch.setattr(issued, "note", removed_first)
    with pytest.raises(PosthouseError) as refused:
        admitting.answer(asked, peer)
    assert refused.value.key == "join-stranger"
    assert [revoked.contains(cluster.store, revocation.entry(GONE, each).serial) for each in late] == [True]
    assert cluster.store.get(keys.certificate(GONE, revocation.entry(GONE, late[0]).serial)) is None
    for pair in successor:
        assert not revoked.contains(cluster.store, revocation.entry(GONE, pair.leaf()).serial)


def test_the_list_forgets_what_has_ended_and_only_goes_forward(cluster: Cluster) -> None:
    now = datetime.now(UTC)
    pairs = [cluster.authority.issue(Profile.NODE, "x", ["x"], now=now - timedelta(days=age)) for age in (725, 0)]
    short, fresh = (revocation.entry(NodeName("x"), pair.leaf()) for pair in pairs)
    first = revocation.listed(cluster.authority, None, [short, fresh], now)
    assert first.serials == {short.serial, fresh.serial}
    later = revocation.listed(cluster.authority, first, (), now + timedelta(days=30))
    assert later.serials == {fresh.serial}
    assert later.number > first.number
    folder = cluster.pki
    assert revocation.keep(later, folder)
    assert not revocation.keep(first, folder), "an older one, after the store was lost"
    read = x509.load_pem_x509_crl(revocation.file(folder).read_bytes())
    assert [f"{each.serial_number:X}" for each in read] == [fresh.serial]
    foreign = revocation.listed(Authority.create("other"), None, ())
    with pytest.raises(ValueError, match="authority"):
        revocation.keep(foreign, folder)
