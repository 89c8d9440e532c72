"""Who observes whom, and what a question's end says of the other node."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cluster.names import NodeName
from nodeagent.health.peers import DEADLINE, OBSERVED, Sight, observed_by

NAMES = st.sets(st.from_regex(r"[a-z][a-z0-9]{0,3}", fullmatch=True).map(NodeName), min_size=1, max_size=40)


@given(NAMES)
def test_each_node_observes_few_others_and_has_as_many_observers(names: set[NodeName]) -> None:
    seen: Counter[NodeName] = Counter()
    for me in names:
        others = observed_by(me, names)
        assert me not in others
        assert len(set(others)) == len(others) == min(OBSERVED, len(names) - 1)
        seen.update(others)
    assert all(seen[name] == min(OBSERVED, len(names) - 1) for name in names)


@pytest.mark.parametrize(
    ("before", "excused_until", "answered", "took", "after"),
    [
        pytest.param(None, 0.0, True, 0.01, True, id="an answer"),
        pytest.param(True, 0.0, False, DEADLINE, False, id="no answer"),
        pytest.param(True, 0.0, False, 3.0, True, id="this process stood still itself"),
        pytest.param(False, 0.0, False, 3.0, False, id="it stood still, and the other was silent before"),
        pytest.param(True, 105.0, False, 0.01, True, id="it said that it comes back"),
        pytest.param(True, 95.0, False, 0.01, False, id="it said so long ago"),
    ],
)
def test_a_verdict_is_the_others_and_not_this_nodes_own_fault(
    before: bool | None, excused_until: float, answered: bool, took: float, after: bool | None
) -> None:
    now = 100.0
    assert Sight(before, excused_until).after(answered, now - took, now) is after
