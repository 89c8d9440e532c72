"""Follows a part of the store in a thread: all of it once, then what changes. The loop takes it from the inbox."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from appliance.cluster.names import Seconds
from appliance.coordination.store import Compacted, Event, Record, Store, StoreUnavailable, Watch

log = logging.getLogger("posthouse.controller")

_RETRY = Seconds(1.0)
_ALL = Seconds(20.0)


@dataclass(frozen=True)
class Whole:
    """Everything below a prefix."""

    prefix: str
    records: list[Record]


#: What followers hand over, in order.
Inbox = deque[Whole | list[Event]]


class Follower(threading.Thread):
    """Follows what stands below `prefix`. `bell` rings for the loop when something came, if it is `urgent`."""

    def __init__(self, store: Store, prefix: str, inbox: Inbox, bell: threading.Event, *, urgent: bool) -> None:
        super().__init__(name=f"follow {prefix}", daemon=True)
        self._store = store
        self._prefix = prefix
        self._inbox = inbox
        self._bell = bell
        self._urgent = urgent
        self._ended = threading.Event()
        self._watch: Watch | None = None

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
        records, revision = self._store.list(self._prefix, deadline=_ALL)
        self._inbox.append(Whole(self._prefix, records))
        self._bell.set()
        self._watch = self._store.watch(self._prefix, after=revision, idle=Seconds(30.0))
        try:
            for events in self._watch:
                if self._ended.is_set():
                    return
                if events:
                    self._inbox.append(events)
                    if self._urgent:
                        self._bell.set()
        finally:
            self._watch.close()
