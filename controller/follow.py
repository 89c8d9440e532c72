"""Follows the store in a thread: everything once, then what changes. The loop takes it from the inbox."""

from __future__ import annotations

import logging
import threading
from collections import deque

from appliance.cluster import keys
from appliance.cluster.names import Seconds
from appliance.coordination.store import Compacted, Event, Record, Store, StoreUnavailable, Watch

log = logging.getLogger("posthouse.controller")

_RETRY = Seconds(1.0)
_ALL = Seconds(20.0)
#: Changes of these alone wake nobody: they come all the time, or are the controller's own.
_QUIET = (keys.SESSIONS, keys.EVENTS, keys.LEADER, keys.STATUS, keys.CONTROLLER)


class Follower(threading.Thread):
    """`inbox` holds, in order, all records (with their revision) or a batch of events; `bell` rings for the loop."""

    def __init__(self, store: Store, bell: threading.Event) -> None:
        super().__init__(name="follow", daemon=True)
        self._store = store
        self._bell = bell
        self._ended = threading.Event()
        self._watch: Watch | None = None
        self.inbox: deque[tuple[list[Record], int] | list[Event]] = deque()

    def end(self) -> None:
        """Stop following."""
        self._ended.set()
        if self._watch is not None:
            self._watch.close()

    def run(self) -> None:
        """Until `end`."""
        while not self._ended.is_set():
            try:
                self._follow()
            except Compacted:
                log.info("the store compacted past what was seen; everything is read again")
            except StoreUnavailable as error:
                log.warning("the store is not read: %s", error)
                self._ended.wait(_RETRY)
            except Exception:
                log.exception("following the store failed; trying again")
                self._ended.wait(_RETRY)

    def _follow(self) -> None:
        records, revision = self._store.list(keys.PREFIX, deadline=_ALL)
        self._hand_over((records, revision))
        self._watch = self._store.watch(keys.PREFIX, after=revision, idle=Seconds(30.0))
        try:
            for events in self._watch:
                if self._ended.is_set():
                    return
                if events:
                    self._hand_over(events, ring=not all(event.key.startswith(_QUIET) for event in events))
        finally:
            self._watch.close()

    def _hand_over(self, batch: tuple[list[Record], int] | list[Event], *, ring: bool = True) -> None:
        self.inbox.append(batch)
        if ring:
            self._bell.set()
