"""Where a group may run, by names, labels or role."""

from __future__ import annotations

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import GroupName, NodeName

STORE, WITNESS = frozenset({Role.STORE}), frozenset({Role.WITNESS})


@pytest.mark.parametrize(
    ("candidates", "labels", "roles", "node_labels", "may"),
    [
        pytest.param((), {}, STORE, {}, True, id="nothing said, and it stores mail"),
        pytest.param((), {}, WITNESS, {}, False, id="nothing said, and it is a witness"),
        pytest.param(("one", "two"), {}, STORE, {}, True, id="named"),
        pytest.param(("two",), {}, STORE, {}, False, id="others are named"),
        pytest.param((), {"site": "a"}, STORE, {"site": "a", "disk": "fast"}, True, id="labelled so"),
        pytest.param((), {"site": "a"}, STORE, {"site": "b"}, False, id="labelled otherwise"),
        pytest.param(("two",), {"site": "a"}, STORE, {"site": "a"}, True, id="after those that are named"),
    ],
)
def test_a_group_may_run_where_it_is_named_labelled_or_free_to_go(
    candidates: tuple[str, ...], labels: dict[str, str], roles: frozenset[Role], node_labels: dict[str, str], may: bool
) -> None:
    group = ServiceGroup(name=GroupName("mail"), candidates=tuple(map(NodeName, candidates)), labels=labels)
    assert group.may_run_on(Node(name=NodeName("one"), roles=roles, labels=node_labels)) is may
