"""The agent's lines in the cluster's decision log (`posthouse events`): what it did for a group by itself."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime

from appliance.cluster import keys
from appliance.cluster.decided import ClusterEvent
from appliance.cluster.names import GroupName, NodeName


class EventPen:
    """`write(key, text)` hands a record to the store; it need not answer now."""

    def __init__(self, node: NodeName, write: Callable[[str, str], None]) -> None:
        self._node = node
        self._write = write
        self._numbers = itertools.count(1)

    def tell(self, key: str, group: GroupName, **facts: str | int | float) -> None:
        """One line; `key` is a message key."""
        event = ClusterEvent(
            at=datetime.now(UTC), by=self._node, part="agent", key=key, group=group, node=self._node, facts=facts
        )
        self._write(keys.event(time.time(), self._node, next(self._numbers)), event.model_dump_json())
