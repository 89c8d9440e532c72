"""Follows the store and the directory in threads of their own and hands what changed to the event loop.

The store's client blocks, and may block for as long as its deadline; the loop that
supervises engines must not. When the store is away the last records stay in force.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from appliance.cluster import keys
from appliance.cluster.names import NodeName, Seconds
from appliance.coordination.store import Compacted, Event, Record, Store, StoreUnavailable
from nodeagent.agent.desired import belongs

log = logging.getLogger("posthouse.agent")

_RETRY = Seconds(1.0)
#: A watch does not say that the store is away: so often it is asked something.
_ASK_EVERY = Seconds(5.0)


class StoreFollower(threading.Thread):
    """Keeps the records below `prefix` that concern one node; calls `changed(records, True)` after every change."""

    def __init__(
        self,
        node: NodeName,
        connect: Callable[[], Store],
        changed: Callable[[list[Record], bool], None],
        prefix: str = keys.DESIRED,
    ) -> None:
        super().__init__(name=f"follower of {prefix}", daemon=True)
        self._prefix = prefix
        self._node = node
        self._connect = connect
        self._changed = changed
        self._ended = threading.Event()
        self.connected = False

    def end(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow(self._connect())
            except Compacted:
                log.info("the store compacted past what was seen; everything is read again")
            except StoreUnavailable as error:
                if self.connected:
                    log.warning("the store is away, what runs goes on: %s", error)
                self._say(False)
                self._ended.wait(_RETRY)
            except Exception:
                log.exception("following the store failed; trying again")
                self._say(False)
                self._ended.wait(_RETRY)

    def _follow(self, store: Store) -> None:
        found, revision = store.list(self._prefix)
        records = {record.key: record for record in found if belongs(record.key, self._node)}
        self._tell(records.values())
        watch = store.watch(self._prefix, after=revision, idle=Seconds(1.0))
        asked = time.monotonic()
        try:
            for events in watch:
                if self._ended.is_set():
                    return
                if _take(records, events, self._node):
                    self._tell(records.values())
                if time.monotonic() >= asked + _ASK_EVERY:
                    store.get(keys.node(self._node))
                    asked = time.monotonic()
        finally:
            watch.close()

    def _tell(self, records: Iterable[Record]) -> None:
        self.connected = True
        self._changed(list(records), True)

    def _say(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            self._changed([], False)


def _take(records: dict[str, Record], events: list[Event], node: NodeName) -> bool:
    """Apply events to the records; return whether anything of this node's changed."""
    touched = False
    for event in _mine(events, node):
        touched = True
        if event.record is None:
            records.pop(event.key, None)
        else:
            records[event.key] = event.record
    return touched


def _mine(events: list[Event], node: NodeName) -> Iterator[Event]:
    return (event for event in events if belongs(event.key, node))
