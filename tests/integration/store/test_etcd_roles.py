"""etcd with authentication enabled: a node reads and writes what its roles need, by its certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.cluster import keys
from appliance.cluster.model import Role
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination import join_tokens
from appliance.coordination.connection import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.etcd_roles import EtcdRoles, Permission, permissions
from appliance.coordination.store import Field, Guard, Put, Store, StoreUnavailable
from appliance.pki.authority import Authority, Profile
from appliance.pki.pairs import PairSlot
from appliance.pki.upkeep import LOOPBACK
from tests.integration.etcd_server import EtcdServer, make_keys
from tests.integration.store.watching import collect

CONTROL, EDGE, OWNER = NodeName("n1"), NodeName("edge1"), NodeName("store1")
GROUP = GroupName("mail")


class Closed:
    """An etcd that knows its users, and the clients of three nodes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = make_keys(folder / "pki")
        self.server = EtcdServer(folder, folder / "pki")
        self.server.start()
        self.roles = EtcdRoles([self.server.endpoint], self.keys(CONTROL), deadline=Seconds(15))
        self.roles.admit(CONTROL, frozenset({Role.CONTROL}))
        self.roles.admit(EDGE, frozenset({Role.EDGE}))
        self.roles.admit(OWNER, frozenset({Role.STORE}))
        self.roles.enable()

    def keys(self, node: NodeName, authority: Authority | None = None) -> Keys:
        pair = (authority or self._authority).issue(Profile.NODE, node, ["localhost"], LOOPBACK)
        slot = PairSlot(self._folder, node)
        slot.write(pair)
        return Keys((self._folder / "pki/ca.crt").read_bytes(), pair.certificate, pair.key)

    def store(self, node: NodeName) -> EtcdStore:
        return EtcdStore([self.server.endpoint], self.keys(node))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    made = Closed(tmp_path_factory.mktemp("closed"))
    yield made
    made.roles.close()
    made.server.kill()


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        call()
    assert "permission denied" in str(caught.value)


def test_an_edge_keeps_its_session_and_reads_what_is_wanted_and_nothing_else(closed: Closed) -> None:
    with closed.store(CONTROL) as control, closed.store(EDGE) as edge:
        control.put(keys.node(EDGE), "{}")
        assert [record.key for record in edge.list(keys.DESIRED)[0]] == [keys.node(EDGE)]
        epoch = edge.create(keys.session(EDGE), "1").revision
        guard = Guard(keys.session(EDGE), Field.CREATE_REVISION, epoch)
        assert edge.transact([guard], [Put(keys.session(EDGE), "2")]).succeeded
        edge.put(keys.status(EDGE), "{}")
        edge.get(keys.owner(GROUP))
        for key in (keys.node(EDGE), keys.session(OWNER), keys.owner(GROUP), keys.status(OWNER), "/elsewhere"):
            refused(lambda key=key: edge.put(key, "stolen"))  # type: ignore[misc]
        refused(lambda: edge.transact([guard], [Put(keys.status(EDGE), ""), Put(keys.owner(GROUP), "")]))
        refused(lambda: edge.list(join_tokens.FOLDER))
        refused(lambda: edge.list(""))


def test_a_node_that_may_own_keeps_owners_and_its_own_session_and_does_not_decide(closed: Closed) -> None:
    with closed.store(OWNER) as owner, closed.store(CONTROL) as control:
        control.put(keys.session(EDGE), "1")
        assert owner.get(keys.session(EDGE)) is not None, "a hand-over is guarded by the other's session"
        epoch = owner.create(keys.session(OWNER), "1").revision
        guards = [Guard(keys.session(OWNER), Field.CREATE_REVISION, epoch), Guard(keys.owner(GROUP), Field.VALUE, "")]
        owner.transact(guards, [Put(keys.owner(GROUP), OWNER)])
        owner.put(keys.owner(GROUP), OWNER)
        owner.put(keys.run(GROUP, "purge", "1"), "{}")
        for key in (keys.session(EDGE), keys.session(NodeName("lost")), keys.status(EDGE), keys.observation(EDGE),
                    keys.group(GROUP), keys.acknowledgement(EDGE), keys.fence(EDGE), keys.placement(GROUP), keys.LEADER,
                    keys.certificate(OWNER, "1"), keys.REVOKED):  # fmt: skip
            refused(lambda key=key: owner.put(key, "stolen"))  # type: ignore[misc]
            refused(lambda key=key: owner.delete(key))  # type: ignore[misc]
        owner.delete(keys.session(OWNER))


def test_a_witness_owns_nothing(closed: Closed) -> None:
    witness = NodeName("w1")
    closed.roles.admit(witness, frozenset({Role.WITNESS}))
    with closed.store(witness) as store:
        store.list(keys.OWNERS)
        assert_usable(store, witness)
        for key in (keys.owner(GROUP), keys.run(GROUP, "purge", "1"), keys.session(OWNER)):
            refused(lambda key=key: store.put(key, "stolen"))  # type: ignore[misc]


def test_roles_of_an_older_release_are_renewed_and_nobody_is_let_in_by_that(closed: Closed) -> None:
    old, role = NodeName("old"), frozenset({Role.STORE})
    closed.roles.admit(old, role)
    wider = Permission.below(keys.SESSIONS, write=True)
    gone = {Permission.below(keys.RUNS, write=True), Permission.below(keys.SESSIONS, write=False)}
    as_before = permissions(old, role) - gone - {Permission.of_key(keys.session(old), write=True)} | {wider}
    closed.roles._fit("node-old", as_before, permissions(old, role))
    with closed.store(old) as store:
        store.put(keys.session(OWNER), "stolen")
        refused(lambda: store.put(keys.run(GROUP, "purge", "1"), "{}"))
        assert closed.roles.renew(old, role)
        assert not closed.roles.renew(old, role), "nothing is left to do"
        refused(lambda: store.put(keys.session(OWNER), "stolen"))
        store.put(keys.run(GROUP, "purge", "1"), "{}")
        assert_usable(store, old)
        closed.roles.expel(old)
        assert not closed.roles.renew(old, role)
        assert not closed.roles.knows(old)


def test_a_watch_needs_no_more_than_its_prefix(closed: Closed) -> None:
    with closed.store(EDGE) as edge, closed.store(CONTROL) as control:
        watch = edge.watch(keys.DESIRED, after=edge.list(keys.DESIRED)[1])
        revision = control.put(keys.group(GROUP), "{}")
        assert [event.revision for event in collect(watch, 1)] == [revision]
        watch.close()


def test_a_certificate_of_our_authority_is_not_enough(closed: Closed) -> None:
    with closed.store(NodeName("nobody")) as stranger, pytest.raises(StoreUnavailable):
        stranger.get(keys.node(EDGE))


def test_only_a_control_node_keeps_the_users(closed: Closed) -> None:
    own = EtcdRoles([closed.server.endpoint], closed.keys(EDGE))
    refused(lambda: own.admit(EDGE, frozenset({Role.CONTROL})))
    own.close()


def test_roles_that_a_node_lost_are_taken_from_it_and_an_expelled_node_may_nothing(closed: Closed) -> None:
    node = NodeName("moving")
    with closed.store(node) as store:
        closed.roles.admit(node, frozenset({Role.CONTROL}))
        closed.roles.admit(node, frozenset({Role.CONTROL}))
        store.put(keys.group(GROUP), "{}")
        closed.roles.admit(node, frozenset({Role.EDGE}))
        refused(lambda: store.put(keys.group(GROUP), "{}"))
        assert_usable(store, node)
        closed.roles.expel(node)
        closed.roles.expel(node)
        with pytest.raises(StoreUnavailable):
            store.get(keys.session(node))


def assert_usable(store: Store, node: NodeName) -> None:
    assert store.create(keys.session(node), "1").succeeded
    store.delete(keys.session(node))


def test_a_join_token_is_issued_by_control_and_of_no_use_to_who_reads_the_desired_state(closed: Closed) -> None:
    with closed.store(CONTROL) as control, closed.store(OWNER) as owner:
        token = join_tokens.issue(control, frozenset({Role.EDGE}), join_tokens.LONGEST)
        refused(lambda: join_tokens.redeem(owner, token, "x"))
        assert join_tokens.redeem(control, token, "x").roles == {Role.EDGE}
