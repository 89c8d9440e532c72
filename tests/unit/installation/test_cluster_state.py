"""Names and numbers of nodes: given once, also when two control nodes give at the same moment."""

from __future__ import annotations

import pytest

from appliance.cluster import keys
from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from appliance.errors import AlreadyExists, NotFound
from appliance.installation import cluster_state
from tests.unit.settings.memory_store import MemoryStore

ONE = Node(name=NodeName("n1"), roles=frozenset({Role.CONTROL}), number=1)


def holding(*nodes: Node) -> MemoryStore:
    store = MemoryStore()
    for node in nodes:
        store.put(keys.node(node.name), node.model_dump_json())
    return store


def test_a_number_is_given_once_and_never_again() -> None:
    store = holding(ONE)
    assert cluster_state.next_number(store) == 2
    store.delete(keys.node(ONE.name))
    assert cluster_state.next_number(store) == 3


def test_two_that_give_at_once_give_different_numbers() -> None:
    store = holding(ONE)
    others: list[int] = []
    store.before_transaction = lambda: others.append(cluster_state.next_number(store))
    assert {cluster_state.next_number(store), *others} == {2, 3}


def test_a_name_belongs_to_the_server_that_took_it() -> None:
    store = MemoryStore()
    cluster_state.reserve(store, NodeName("n2"), "its key")
    cluster_state.reserve(store, NodeName("n2"), "its key")
    with pytest.raises(AlreadyExists):
        cluster_state.reserve(store, NodeName("n2"), "another key")
    assert cluster_state.is_held(store, NodeName("n2"), "its key")
    assert not cluster_state.is_held(store, NodeName("n2"), "another key")


def test_a_change_of_a_record_takes_in_what_another_changed_meanwhile() -> None:
    store = holding(ONE)
    labelled = ONE.model_copy(update={"labels": {"rack": "a"}})

    def another() -> None:
        store.put(keys.node(ONE.name), labelled.model_dump_json())

    store.before_transaction = another
    assert cluster_state.change(store, ONE.name, voter=True)
    changed, _ = cluster_state.find(store, ONE.name)
    assert (changed.voter, changed.labels) == (True, {"rack": "a"})
    assert not cluster_state.change(store, ONE.name, voter=True)
    with pytest.raises(NotFound):
        cluster_state.change(store, NodeName("n9"), voter=True)
