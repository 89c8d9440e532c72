"""The coordination store on ZooKeeper 3.8 (docs/decisions/0070-zookeeper.md; the layout: zookeeper_log.py).

ZooKeeper answers reads from the member that is asked, which may lag or, being a leader without followers that does
not know it yet, be wrong. So every answer of this class rests on a write that a majority has confirmed after the call
began: a transaction is one, and a read follows one in the same session, whose order ZooKeeper keeps.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient, TransactionRequest
from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError, RolledBackError, RuntimeInconsistency

from appliance.cluster.names import Seconds
from appliance.coordination import zookeeper_log as layout
from appliance.coordination.store import Delete, Event, Guard, Outcome, Put, Record, Store, Watch
from appliance.coordination.zookeeper_connection import ZooKeeperConnection
from appliance.coordination.zookeeper_log import Head, Operation
from appliance.coordination.zookeeper_watch import ZooKeeperWatch

DEFAULT_DEADLINE = Seconds(3.0)

#: Requests on their way at once when many nodes are read.
PAGE = 500
#: Between two attempts of writers that met, at most.
LONGEST_PAUSE = Seconds(0.05)


class ZooKeeperStore(Store):
    """A store client for one process; safe to use from several threads. `folder` holds ca.crt, node.crt, node.key."""

    def __init__(self, endpoints: Sequence[str], folder: Path, *, deadline: Seconds = DEFAULT_DEADLINE) -> None:
        self._connection = ZooKeeperConnection(endpoints, folder)
        self._deadline = deadline
        self._watches: weakref.WeakSet[ZooKeeperWatch] = weakref.WeakSet()
        self._lock = threading.Lock()

    def get(self, key: str, *, deadline: Seconds | None = None) -> Record | None:
        return self._record(key, self._read_confirmed(layout.key_path(key), self._ends(deadline)))

    def list(self, prefix: str, *, deadline: Seconds | None = None) -> tuple[list[Record], int]:
        ends = self._ends(deadline)
        while True:
            first = self.confirmed_head(ends)
            records = self._read_below(prefix, first.revision, ends)
            last = self.confirmed_head(ends)
            if records is not None and last.oldest <= first.revision + 1:
                events = self.events(first.revision, last.revision, ends)
                return layout.fold(records, events, prefix), last.revision
            # Another session answered, of a member that lags; or the log was forgotten meanwhile.

    def transact(
        self, guards: Sequence[Guard], changes: Sequence[Put | Delete], *, deadline: Seconds | None = None
    ) -> Outcome:
        ends = self._ends(deadline)
        if problem := layout.refusal(guards, changes):
            raise self._connection.refused(problem)
        keys = list(dict.fromkeys([*(guard.key for guard in guards), *(change.key for change in changes)]))
        while True:
            # At once: answers of two sessions could come from two members, of which the second one lags.
            head, *found = self._read_at_once([layout.HEAD, *map(layout.key_path, keys)], ends)
            if isinstance(head, NoNodeError):
                self._found(ends)
                continue
            records = {key: self._record(key, answer) for key, answer in zip(keys, found, strict=True)}
            plan = layout.plan(layout.head_of(self._data(head)), records, guards, changes)
            if layout.size(plan.operations) > layout.MOST_REQUEST_BYTES:
                raise self._connection.refused("request is too large")
            if self._carry_out(plan.operations, ends):
                return Outcome(plan.succeeded, plan.revision)
            # Another writer came first, and nothing of ours was written.
            time.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311 - spreads load, guards no secret

    def watch(self, prefix: str, *, after: int, idle: Seconds = Seconds(1.0)) -> Watch:
        watch = ZooKeeperWatch(self, prefix, after, idle)
        with self._lock:
            self._watches.add(watch)
        return watch

    def close(self) -> None:
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.close()
        self._connection.close()

    # What a watch reads

    def events(self, after: int, until: int, ends: float) -> Sequence[Event]:
        """What the revisions after `after` up to `until` changed; empty for one that was forgotten."""
        events = []
        revisions = range(after + 1, until + 1)
        for start in range(0, len(revisions), PAGE):
            page = revisions[start : start + PAGE]
            answers = self._read_at_once(map(layout.log_path, page), ends)
            for revision, answer in zip(page, answers, strict=True):
                events += layout.events_of(revision, self._data(answer))
        return events

    def head(self, ends: float, alarm: Callable[[object], None]) -> Head:
        """The head as the member asked knows it; `alarm` is called when it moves or the connection breaks."""
        while True:
            [answer] = self._connection.ask_harmless(ends, lambda client: [client.get_async(layout.HEAD, alarm)])
            if not isinstance(answer, NoNodeError):
                return layout.head_of(self._data(answer))
            self._found(ends)

    def confirmed_head(self, ends: float) -> Head:
        """The head now, confirmed by a majority."""
        return layout.head_of(self._data(self._read_confirmed(layout.HEAD, ends)))

    # Parts

    def _ends(self, deadline: Seconds | None) -> float:
        return time.monotonic() + (self._deadline if deadline is None else deadline)

    def _read_confirmed(self, path: str, ends: float) -> Any:
        """The answer to `get` of `path`, no older than this call."""
        while True:
            confirmed, answer = self._connection.ask_harmless(
                ends, lambda client: [_commit(client, layout.BARRIER), client.get_async(path)]
            )
            if self._was_carried_out(confirmed):
                return answer
            self._found(ends)

    def _read_below(self, prefix: str, since: int, ends: float) -> dict[str, Record] | None:
        """The records below `prefix`, each no older than revision `since`; None when a member lags behind that."""
        head, children = self._connection.ask_harmless(
            ends, lambda client: [client.get_async(layout.HEAD), client.get_children_async(layout.KEYS)]
        )
        if isinstance(children, KazooException):
            raise self._connection.refused(type(children).__name__)
        keys = [key for key in map(layout.key_of, children) if key.startswith(prefix)]
        records: dict[str, Record] = {}
        for start in range(0, len(keys), PAGE):
            page = keys[start : start + PAGE]
            if layout.head_of(self._data(head)).revision < since:
                return None
            head, *answers = self._read_at_once([layout.HEAD, *map(layout.key_path, page)], ends)
            found = ((key, self._record(key, answer)) for key, answer in zip(page, answers, strict=True))
            records |= {key: record for key, record in found if record}
        return None if layout.head_of(self._data(head)).revision < since else records

    def _read_at_once(self, paths: Iterable[str], ends: float) -> Sequence[Any]:
        """Answers to `get` of each path, in that order and from one member."""
        wanted = [*paths]
        return self._connection.ask_harmless(ends, lambda client: [client.get_async(path) for path in wanted])

    def _record(self, key: str, answer: Any) -> Record | None:
        return None if isinstance(answer, NoNodeError) else layout.record_of(key, self._data(answer))

    def _data(self, answer: Any) -> bytes:
        if isinstance(answer, KazooException):
            raise self._connection.refused(type(answer).__name__)
        return bytes(answer[0])

    def _found(self, ends: float) -> None:
        """Lay the store's first nodes; of several that try, one succeeds, and the others find them there."""
        self._carry_out(layout.FOUNDING, ends)

    def _carry_out(self, operations: Sequence[Operation], ends: float) -> bool:
        """Commit; return False when another writer came first."""
        [answer] = self._connection.ask(ends, lambda client: [_commit(client, operations)])
        return self._was_carried_out(answer)

    def _was_carried_out(self, answer: Any) -> bool:
        """Whether a transaction was. Only the first two operations depend on other writers; raise for the others."""
        if isinstance(answer, KazooException):
            raise self._connection.refused(type(answer).__name__)
        reasons = [
            (place, each)
            for place, each in enumerate(answer)
            if isinstance(each, Exception) and not isinstance(each, (RolledBackError, RuntimeInconsistency))
        ]
        for place, reason in reasons:
            if place > 1 or not isinstance(reason, (NoNodeError, NodeExistsError)):
                raise self._connection.refused(f"operation {place}: {type(reason).__name__}")
        return not reasons


def _commit(client: KazooClient, operations: Sequence[Operation]) -> Any:
    """Send one ZooKeeper transaction; return its pending result."""
    transaction = TransactionRequest(client)
    for operation in operations:
        match operation:
            case layout.Check(path):
                transaction.check(path, -1)
            case layout.Create(path, data):
                transaction.create(path, data)
            case layout.Set(path, data):
                transaction.set_data(path, data)
            case layout.Remove(path):
                transaction.delete(path)
    return transaction.commit_async()
