"""A watch on ZooKeeper: reads the store's log, and sleeps until its head moves.

A ZooKeeper watch fires once and tells nothing but that something changed, so it is only
the alarm clock: what changed is read from the log, from the last revision handed over + 1.
The head is looked at now and then in any case, which finds a member that fell silent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

from appliance.cluster.names import Seconds
from appliance.coordination.following import FollowingWatch
from appliance.coordination.store import Compacted, Event
from appliance.coordination.zookeeper_log import Head

#: The head is looked at this often although nothing said that it moved.
LOOK_EVERY = Seconds(5.0)
#: How long a member may take to tell it.
PATIENCE = Seconds(3.0)
#: Revisions read from the log at once.
PAGE = 500


class Source(Protocol):
    """What a watch needs of the store."""

    def head(self, ends: float, alarm: Callable[[object], None]) -> Head: ...
    def confirmed_head(self, ends: float) -> Head: ...
    def events(self, after: int, until: int, ends: float) -> Sequence[Event]: ...


class ZooKeeperWatch(FollowingWatch):
    """See Watch."""

    def __init__(self, source: Source, prefix: str, after: int, idle: Seconds) -> None:
        self._source = source
        self._changed = threading.Event()
        super().__init__(prefix, after, idle)

    def _interrupt(self) -> None:
        self._changed.set()

    def _alarm(self, _: object) -> None:
        self._changed.set()

    def _subscribe(self) -> Iterator[list[Event]]:
        self._compare_history()
        while not self._closed.is_set():
            self._changed.clear()
            head = self._source.head(_soon(), self._alarm)
            while self._after < head.revision and not self._closed.is_set():
                if self._after + 1 < head.oldest:
                    raise Compacted("store-compacted", revision=self._after + 1)
                until = min(self._after + PAGE, head.revision)
                events = self._source.events(self._after, until, _soon())
                mine = [event for event in events if event.key.startswith(self._prefix)]
                for _, batch in groupby(mine, key=lambda event: event.revision):
                    yield list(batch)
                self._after = until
            if not self._closed.is_set():
                self._changed.wait(LOOK_EVERY)

    def _compare_history(self) -> None:
        """A store that was restored from a backup has an older revision; its events would never reach us."""
        if self._source.confirmed_head(_soon()).revision < self._after:
            raise Compacted("store-compacted", revision=self._after + 1)


def _soon() -> float:
    return time.monotonic() + PATIENCE
