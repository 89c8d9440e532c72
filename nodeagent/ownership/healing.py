"""When a partition may have healed, as a keeper sees it: a node that had fallen silent is heard again.

The owner of a group may have had the store all the time. But who was cut off with the silent node has not heard its
announcements, and still sends to where the address was before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.cluster.names import NodeName, Seconds
from appliance.ownership.records import SessionSeen


@dataclass(frozen=True)
class _Heard:
    """A session as it was when it was last seen to have been renewed; `at`: seconds since the boot."""

    epoch: int
    sequence: int
    at: float


@dataclass
class Hearing:
    """What was heard of the nodes' sessions. `back` depends on nothing else."""

    _heard: dict[NodeName, _Heard] = field(default_factory=dict)
    _known: bool = False

    def back(
        self, sessions: Mapping[NodeName, SessionSeen], now: float, *, renew: Seconds, silence: Seconds
    ) -> frozenset[NodeName]:
        """The nodes that are heard again: under a new session, or after about `silence` seconds without a renewal.

        Each renewal of a session counts one further, so those that are missing can be told however seldom this is
        called, once for each look at the store. `renew`: seconds between two renewals.
        """
        found = set()
        for node, seen in sessions.items():
            before, sequence = self._heard.get(node), seen.record.sequence
            if before is not None and (before.epoch, before.sequence) == (seen.epoch, sequence):
                continue
            if before is None or before.epoch != seen.epoch:
                is_back = self._known
            else:
                is_back = now - before.at - (sequence - before.sequence) * renew >= silence
            if is_back:
                found.add(node)
            self._heard[node] = _Heard(seen.epoch, sequence, now)
        for gone in self._heard.keys() - sessions.keys():
            del self._heard[gone]
        self._known = True
        return frozenset(found)
