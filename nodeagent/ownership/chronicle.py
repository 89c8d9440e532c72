"""The keeper's lines in the cluster's decision log: written when the store takes them, never waited for."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from appliance.cluster import keys
from appliance.cluster.decided import ClusterEvent
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Store, StoreUnavailable
from nodeagent.ownership.lane import Lane

log = logging.getLogger("posthouse.keeper")

#: What waits for a store that is away; more is lost, oldest first to come.
MOST_WAITING = 100
_DEADLINE = Seconds(3.0)


class Chronicle(Lane):
    """Records events over a connection of its own. What the store does not take is in the journal only."""

    def __init__(self, node: NodeName, connect: Callable[[], Store]) -> None:
        super().__init__("decision log")
        self._node = node
        self._connect = connect
        self._store: Store | None = None
        self._numbers = itertools.count()
        self._waiting = 0

    def record(self, key: str, group: GroupName, facts: Mapping[str, str | int | float]) -> None:
        """Never blocks, never fails."""
        event = ClusterEvent(
            at=datetime.now(UTC), by=self._node, part="keeper", key=key, group=group, node=self._node, facts=facts
        )
        if self._waiting >= MOST_WAITING:
            log.warning("the decision log does not take this event, it stands here only: %s", event.model_dump_json())
            return
        self._waiting += 1
        self.put(lambda: self._write(event))

    def _write(self, event: ClusterEvent) -> None:
        self._waiting -= 1
        key = keys.event(event.at.timestamp(), self._node, next(self._numbers))
        try:
            self._store = self._store or self._connect()
            self._store.put(key, event.model_dump_json(), deadline=_DEADLINE)
        except StoreUnavailable as error:
            log.warning("the decision log is away (%s), this stands here only: %s", error, event.model_dump_json())
