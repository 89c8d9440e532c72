"""Which nodes an upgrade has yet to reach: they will be drained next, so what is moved now had better not go there."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.cluster.names import NodeName


def behind(releases: Mapping[NodeName, str]) -> frozenset[NodeName]:
    """The nodes that run an older release than another one; who says nothing that can be read is not among them."""
    numbers = {node: number for node, text in releases.items() if (number := _number(text))}
    newest = max(numbers.values(), default=())
    return frozenset(node for node, number in numbers.items() if number < newest)


def _number(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError:
        return ()
