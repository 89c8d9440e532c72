"""Which nodes an upgrade has yet to reach."""

from __future__ import annotations

import pytest

from appliance.cluster.names import NodeName
from controller.placement.releases import behind


@pytest.mark.parametrize(
    ("releases", "expected"),
    [
        ({}, ""),
        ({"a": "0.1.0", "b": "0.1.0"}, ""),
        ({"a": "0.9.0", "b": "0.10.0", "c": "0.9.1"}, "ac"),
        ({"a": "", "b": "0.2.0", "c": "unknown"}, ""),
    ],
)
def test_nodes_of_an_older_release_than_the_newest_are_behind(releases: dict[str, str], expected: str) -> None:
    assert behind({NodeName(node): text for node, text in releases.items()}) == set(expected)
