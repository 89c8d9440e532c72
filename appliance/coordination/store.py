"""The coordination store: guarded transactions, ordered reads and watches, with a deadline on every call.

Modelled on etcd's API (https://etcd.io/docs/v3.4/learning/api/). Leases are left
out on purpose: ownership never rests on them (see docs/developers/ownership.md).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

from appliance.cluster.names import Seconds
from appliance.errors import Unavailable


class StoreUnavailable(Unavailable):
    """The store did not answer within the deadline, or has no quorum. A write may or may not have happened."""


class Compacted(StoreUnavailable):
    """The revision a watch wanted is gone; read everything again and watch from there."""


@dataclass(frozen=True)
class Record:
    """A key with its value and revisions. `create_revision` of a session record is the node's epoch."""

    key: str
    value: str
    create_revision: int
    mod_revision: int


class Field(Enum):
    """What a guard compares. An absent key has version 0 and revision 0."""

    CREATE_REVISION = "create_revision"
    MOD_REVISION = "mod_revision"
    VALUE = "value"


@dataclass(frozen=True)
class Guard:
    """`field of key == expected`; every guard of a transaction must hold."""

    key: str
    field: Field
    expected: int | str


@dataclass(frozen=True)
class Put:
    """Write a value."""

    key: str
    value: str


@dataclass(frozen=True)
class Delete:
    """Delete one key."""

    key: str


@dataclass(frozen=True)
class Outcome:
    """What a transaction did: whether its guards held, and the store's revision after it."""

    succeeded: bool
    revision: int


@dataclass(frozen=True)
class Event:
    """A change seen by a watch; `record` is None when the key was deleted."""

    key: str
    record: Record | None
    revision: int


class Watch(ABC):
    """A stream of changes that resubscribes by itself from the last revision + 1.

    Iterating blocks; each step yields a list of events, or an empty list once per
    `idle` seconds without news, so that a caller can look at its own clock.
    Raises Compacted when the wanted revision is gone. `close` ends it from any thread.
    """

    @abstractmethod
    def __iter__(self) -> Iterator[list[Event]]: ...

    @abstractmethod
    def close(self) -> None: ...


class Store(ABC):
    """Every call takes at most its deadline and raises StoreUnavailable after it."""

    @abstractmethod
    def get(self, key: str, *, deadline: Seconds | None = None) -> Record | None:
        """Return the record of `key`, a linearizable read, or None."""

    @abstractmethod
    def list(self, prefix: str, *, deadline: Seconds | None = None) -> tuple[list[Record], int]:
        """Return every record below `prefix` in key order, and the revision at which they were read."""

    def snapshot(self, prefixes: Sequence[str], *, deadline: Seconds | None = None) -> Sequence[Sequence[Record]]:
        """The records below each of the prefixes, linearizable.

        Where the store can, all are of one revision and cost one call; otherwise each is as fresh as `list` gives it,
        and a later one may know more. `deadline` is for all of them.
        """
        ends = time.monotonic() + deadline if deadline is not None else None
        found = []
        for prefix in prefixes:
            left = None if ends is None else Seconds(max(ends - time.monotonic(), 0.0))
            found.append(self.list(prefix, deadline=left)[0])
        return found

    @abstractmethod
    def transact(
        self, guards: Sequence[Guard], changes: Sequence[Put | Delete], *, deadline: Seconds | None = None
    ) -> Outcome:
        """Apply all changes in one step if every guard holds, none otherwise."""

    @abstractmethod
    def watch(self, prefix: str, *, after: int, idle: Seconds = Seconds(1.0)) -> Watch:
        """Watch everything below `prefix` from revision `after` + 1."""

    @abstractmethod
    def close(self) -> None:
        """Drop the connections."""

    def put(self, key: str, value: str, *, deadline: Seconds | None = None) -> int:
        """Write unconditionally; return the revision."""
        return self.transact([], [Put(key, value)], deadline=deadline).revision

    def create(self, key: str, value: str, *, deadline: Seconds | None = None) -> Outcome:
        """Write `key` only if it does not exist."""
        return self.transact([Guard(key, Field.CREATE_REVISION, 0)], [Put(key, value)], deadline=deadline)

    def delete(self, key: str, *, deadline: Seconds | None = None) -> int:
        """Delete `key` if it exists; return the revision."""
        return self.transact([], [Delete(key)], deadline=deadline).revision

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
