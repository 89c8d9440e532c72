"""A watch that outlives its connection, whatever the backend.

A thread subscribes and hands batches to the caller through a bounded queue. When the
subscription ends it subscribes again from the last revision it handed over + 1, after a
jittered, growing pause; nothing is skipped and nothing comes twice.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import threading
from abc import abstractmethod
from collections.abc import Iterator

from appliance.cluster.names import Seconds
from appliance.coordination.store import Compacted, Event, StoreUnavailable, Watch

log = logging.getLogger(__name__)

#: Batches that wait for a slow reader before the stream is held back.
BACKLOG = 256
SHORTEST_PAUSE = Seconds(0.1)
LONGEST_PAUSE = Seconds(2.0)
#: `close` waits no longer for the thread; one that still waits for an answer ends with it and hands nothing over.
LONGEST_FAREWELL = Seconds(0.5)


class FollowingWatch(Watch):
    """See Watch. A backend says how to subscribe, and how to be interrupted while it waits."""

    def __init__(self, prefix: str, after: int, idle: Seconds) -> None:
        self._prefix = prefix
        self._after = after
        self._idle = idle
        self._batches: queue.Queue[list[Event] | Compacted | None] = queue.Queue(BACKLOG)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"watch {prefix}", daemon=True)
        self._thread.start()

    @abstractmethod
    def _subscribe(self) -> Iterator[list[Event]]:
        """Yield what changed after `_after`, a list for each revision; raise StoreUnavailable or Compacted."""

    @abstractmethod
    def _interrupt(self) -> None:
        """End the subscription from another thread; `_closed` is set."""

    def __iter__(self) -> Iterator[list[Event]]:
        while not self._closed.is_set():
            try:
                batch = self._batches.get(timeout=self._idle)
            except queue.Empty:
                batch = []
            if batch is None or self._closed.is_set():
                return
            if isinstance(batch, Compacted):
                raise batch
            yield batch

    def close(self) -> None:
        self._closed.set()
        self._interrupt()
        with contextlib.suppress(queue.Full):  # then the reader has something to wake it
            self._batches.put_nowait(None)
        if self._thread is not threading.current_thread():
            self._thread.join(LONGEST_FAREWELL)

    def _follow(self) -> None:
        """The thread: subscribe, hand over, and subscribe again when the stream ends."""
        pause = SHORTEST_PAUSE
        while not self._closed.is_set():
            try:
                for batch in self._subscribe():
                    pause = SHORTEST_PAUSE
                    self._hand_over(batch)
                    self._after = batch[-1].revision
            except Compacted as gone:
                self._hand_over(gone)
                return
            except StoreUnavailable as error:
                if not self._closed.is_set():
                    again = self._after + 1
                    log.warning(
                        "watch of %s broke (%s); subscribing again from revision %d", self._prefix, error, again
                    )
            self._closed.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards no secret
            pause = Seconds(min(pause * 2, LONGEST_PAUSE))

    def _hand_over(self, batch: list[Event] | Compacted) -> None:
        """Give a batch to the reader; while the queue is full, the stream waits."""
        while not self._closed.is_set():
            try:
                return self._batches.put(batch, timeout=0.2)
            except queue.Full:
                continue
        return None
