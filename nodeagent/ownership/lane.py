"""Threads beside the keeper's loop, each doing one thing after the other: store calls, the disk, the decision log."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from appliance.coordination.store import Store, StoreUnavailable

log = logging.getLogger("posthouse.keeper")

Post = Callable[[Callable[[], None]], None]
_Answer = TypeVar("_Answer")


class Lane(threading.Thread):
    """Carries out what it is given, in order. What it raises is logged and forgotten."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def put(self, task: Callable[[], None]) -> None:
        """Never blocks."""
        self._tasks.put(task)

    def end(self) -> None:
        """End after what was given so far."""
        self._tasks.put(None)

    def run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except Exception:
                log.exception("%s: a task failed", self.name)


class StoreLane(Lane):
    """Calls the store over a connection of its own, and hands the answers to the loop by `post`."""

    def __init__(self, name: str, connect: Callable[[], Store], post: Post) -> None:
        super().__init__(name)
        self._connect = connect
        self._post = post
        self._store: Store | None = None

    def ask(self, question: Callable[[Store], _Answer], answer: Callable[[_Answer | None], None]) -> None:
        """`answer` is called in the loop, with None when the store gave none."""

        def asked() -> None:
            found = None
            try:
                self._store = self._store or self._connect()
                found = question(self._store)
            except StoreUnavailable as error:
                log.warning("%s: %s", self.name, error)
            except Exception:
                log.exception("%s: a call of the store failed", self.name)
            self._post(lambda: answer(found))

        self.put(asked)

    def run(self) -> None:
        super().run()
        if self._store is not None:
            self._store.close()
