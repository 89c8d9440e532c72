"""Writers that go on through a fault and write down what they were told; the audit compares it with the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self, TypeVar

from appliance.cluster.names import Seconds
from appliance.coordination.store import Event, Field, Guard, Put, Store, StoreUnavailable
from tests.integration.store.watching import SLACK, collect

T = TypeVar("T")


@dataclass
class Ledger:
    """Each writer raises a counter of its own, guarded by the revision it has seen, and creates a key beside it.

    A write without an answer may have happened, and may still happen: then its guard refuses the next one.
    """

    open_store: Callable[[], Store]
    prefix: str
    writers: int = 3
    deadline: Seconds = Seconds(1.0)
    told: dict[str, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    slowest: float = 0.0
    problems: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(self.writers)]
        with self.open_store() as store:
            for number in range(self.writers):
                store.put(self._counter(number), "0")
            self._start = store.list(self.prefix)[1]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def audit(self, store: Store) -> None:
        """Everything that was answered is there, at the revision told; nothing is there that nobody wrote."""
        assert not self.problems, self.problems
        assert self.slowest < self.deadline + SLACK
        found = {record.key: record.create_revision for record in store.list(self.prefix + "made/")[0]}
        assert {key: found.get(key) for key in self.told} == self.told
        assert set(found) <= set(self.told) | self.unknown

    def audit_events(self, watch_events: list[Event]) -> None:
        """A watch from the start saw each revision once, in order, and every one that was answered."""
        revisions = [event.revision for event in watch_events]
        assert revisions == sorted(revisions)
        made = [event.key for event in watch_events if event.key.startswith(self.prefix + "made/")]
        assert len(made) == len(set(made))
        assert set(self.told) <= set(made)

    def events(self, store: Store) -> list[Event]:
        """What a watch tells from before the first write to a last one, made now."""
        last = store.put(self.prefix + "last", "")
        watch = store.watch(self.prefix, after=self._start)
        seen = collect(watch, 1, until=last)
        watch.close()
        return seen

    @property
    def start(self) -> int:
        """The revision before the first write."""
        return self._start

    def _counter(self, number: int) -> str:
        return f"{self.prefix}counter/{number}"

    def _write(self, number: int) -> None:
        try:
            with self.open_store() as store:
                self._raise_counter(store, number)
        except BaseException as problem:
            self.problems.append(problem)

    def _raise_counter(self, store: Store, number: int) -> None:
        counter = self._counter(number)
        doubtful = True
        count = 0
        while not self._over.is_set():
            if doubtful:
                record = self._timed(lambda: store.get(counter, deadline=self.deadline))
                if record is None:
                    continue
                seen = record.mod_revision
            count += 1
            key = f"{self.prefix}made/{number}-{count:05}"
            guards, changes = [Guard(counter, Field.MOD_REVISION, seen)], [Put(counter, str(count)), Put(key, "")]
            outcome = self._timed(lambda: store.transact(guards, changes, deadline=self.deadline))  # noqa: B023
            if outcome is None:
                self.unknown.add(key)
            elif outcome.succeeded:
                self.told[key] = seen = outcome.revision
            else:
                assert doubtful, "a guard that held was refused"
            doubtful = outcome is None or not outcome.succeeded

    def _timed(self, call: Callable[[], T]) -> T | None:
        started = time.monotonic()
        try:
            return call()
        except StoreUnavailable:
            self._over.wait(0.05)
            return None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - started)
