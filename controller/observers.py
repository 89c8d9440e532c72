"""Who is silent, by the word of the other nodes; and who is well.

Observers say whom they cannot reach, and no time: since when counts from the moment this controller saw it. The word
of an observer that is itself not renewed, or that reaches less than half of the others, counts for nothing: it is
more likely cut off itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from appliance.cluster.decided import Observation
from appliance.cluster.names import NodeName
from appliance.cluster.timing import Timing
from appliance.ownership.taker import Sighting, Sightings

#: Node -> the observers that have no answer from it, and since when this controller has seen each say so.
Failing = Mapping[NodeName, Mapping[NodeName, float]]


def failing(before: Failing, observations: Collection[Observation], fresh: Collection[NodeName], now: float) -> Failing:
    """Who fails by the observations of now; `fresh` are the nodes whose sessions are renewed."""
    after: dict[NodeName, dict[NodeName, float]] = {}
    for observation in observations:
        observer = observation.observer
        others = [node for node in fresh if node != observer]
        missed = sum(node in observation.unanswered for node in others)
        if observer not in fresh or 2 * missed > len(others):
            continue
        for node in observation.unanswered:
            since = before.get(node, {}).get(observer, now)
            after.setdefault(node, {})[observer] = since
    return after


def renewed(sighting: Sighting | None, read_at: float, timing: Timing) -> bool:
    """Whether a session stands that has not given up by itself."""
    return sighting is not None and sighting.revision > 0 and read_at - sighting.since < timing.demote


def reached(
    before: Mapping[NodeName, float], nodes: Collection[NodeName], fails: Failing, now: float
) -> dict[NodeName, float]:
    """Since when nobody has had trouble to reach each of the nodes, but for those that somebody has trouble with."""
    return {node: before.get(node, now) for node in nodes if node not in fails}


def well(before: Mapping[NodeName, float], nodes: Collection[NodeName], now: float) -> dict[NodeName, float]:
    """Since when each of the nodes that are well has been so."""
    return {node: before.get(node, now) for node in nodes}


def usable(sightings: Sightings, fails: Failing, began: float, read_at: float, timing: Timing) -> list[NodeName]:
    """The nodes that may get a group: a renewal was seen with own eyes, and nobody has trouble to reach them.

    `began`: when this controller looked first. What it saw then may have been a dead node's.
    """
    return [
        node
        for node, sighting in sightings.items()
        if renewed(sighting, read_at, timing) and sighting.since > began and node not in fails
    ]
