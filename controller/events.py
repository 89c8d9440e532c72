"""The decision log: what was seen, what was decided, and why, in the order of time, the newest 2,000.

What is told waits here until the store takes it. The same thing about the same matter is told once: `tell_once`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime

from appliance.cluster import keys
from appliance.cluster.decided import ClusterEvent
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Delete, Put, Store
from appliance.i18n import translate
from controller.election import Led

log = logging.getLogger("posthouse.controller")

#: So many stay in the store.
KEPT = 2000
#: etcd takes at most 128 changes in a transaction.
_AT_ONCE = 50
#: So many wait at most while the store does not answer; then the oldest are lost.
_WAITING = 1000

Detail = str | int | float


class DecisionLog:
    """One controller's pen."""

    def __init__(self, node: NodeName) -> None:
        self._node = node
        self._number = 0
        self._waiting: deque[Put] = deque(maxlen=_WAITING)
        self._written: deque[str] = deque()
        self._told: dict[Hashable, set[Hashable]] = {}

    def tell(
        self,
        key: str,
        *,
        group: GroupName | None = None,
        node: NodeName | None = None,
        facts: Mapping[str, Detail] | None = None,
        grave: bool = False,
    ) -> None:
        """Write one line, here at once and in the store when it answers. `key` is a message key."""
        self._number += 1
        event = ClusterEvent(
            at=datetime.now(UTC), by=self._node, part="controller", key=key, group=group, node=node, facts=facts or {}
        )
        self._waiting.append(Put(keys.event(time.time(), self._node, self._number), event.model_dump_json()))
        about = " ".join(filter(None, (group, node)))
        log.log(
            logging.ERROR if grave else logging.INFO,
            "%s: %s",
            about or "cluster",
            translate(key, lang=None, **event.facts),
        )

    def tell_once(self, matter: Hashable, what: Hashable, key: str, **more: object) -> None:
        """`tell`, unless `what` was told about the matter before; `forget` begins it anew."""
        told = self._told.setdefault(matter, set())
        if what not in told:
            told.add(what)
            self.tell(key, **more)  # type: ignore[arg-type]

    def forget(self, matter: Hashable) -> bool:
        """The matter is over; return whether anything was told about it."""
        return self._told.pop(matter, None) is not None

    def matters(self) -> list[Hashable]:
        """What has been told about and is not over."""
        return list(self._told)

    def take_over(self, store: Store, deadline: Seconds) -> None:
        """Learn what stands in the log when the leadership begins. Raises StoreUnavailable."""
        self._told.clear()
        self._written = deque(record.key for record in store.list(keys.EVENTS, deadline=deadline)[0])

    def flush(self, led: Led) -> None:
        """Write what waits, and let the oldest go. Raises StoreUnavailable, NotLeading; then it waits on."""
        while self._waiting:
            puts = [self._waiting[number] for number in range(min(_AT_ONCE, len(self._waiting)))]
            led.must_write(puts)
            for put in puts:
                self._waiting.popleft()
                self._written.append(put.key)
        while len(self._written) > KEPT:
            old = [self._written[number] for number in range(min(_AT_ONCE, len(self._written) - KEPT))]
            led.must_write([Delete(key) for key in old])
            for _ in old:
                self._written.popleft()
