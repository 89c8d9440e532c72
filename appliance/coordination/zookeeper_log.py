"""How the store lies in ZooKeeper, and what one transaction writes there. Pure.

ZooKeeper's own transactions compare a node's `version` only, which starts anew with each
node of the same name, and it keeps no history for a watch that was away. So the store is
a log, and the keys are what the log adds up to (docs/decisions/0070-zookeeper.md):

    /posthouse-store/head                  the newest revision and the oldest that is still in the log
    /posthouse-store/log/REVISION          what that revision changed
    /posthouse-store/keys/QUOTED-KEY       the key's record

Revision R+1 is written by one ZooKeeper transaction that begins with "log/R exists, create
log/R+1". Both hold only while R is the newest, so whatever was read since `head` said R is
still so when the transaction is carried out: the guards are compared by the client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from appliance.coordination.store import Delete, Event, Field, Guard, Put, Record

ROOT = "/posthouse-store"
HEAD = ROOT + "/head"
LOG = ROOT + "/log"
KEYS = ROOT + "/keys"

#: Revisions that a watch can catch up on; older ones are told as Compacted.
KEPT = 10_000
#: Revisions forgotten by one transaction at most, when fewer are kept than before.
FORGOTTEN_AT_ONCE = 100

#: Limits of etcd (`--max-txn-ops`, `--max-request-bytes`) and of ZooKeeper (`jute.maxbuffer`, 0xfffff): what one
#: backend takes, the other takes too. Each value is sent twice here, for the log and for the key.
MOST_OPERATIONS = 128
MOST_BYTES = 480_000
#: What ZooKeeper takes as one request, with room for its own framing; it drops the connection for more.
MOST_REQUEST_BYTES = 1_000_000
#: Of an operation, beside path and data: header, access list, lengths.
_FRAMING = 64


@dataclass(frozen=True)
class Head:
    """The newest revision, and the oldest of which the log still tells what changed."""

    revision: int
    oldest: int


@dataclass(frozen=True)
class Check:
    """The node has to exist."""

    path: str


@dataclass(frozen=True)
class Create:
    """Create a node that must not exist."""

    path: str
    data: bytes


@dataclass(frozen=True)
class Set:
    """Replace the data of a node that has to exist."""

    path: str
    data: bytes


@dataclass(frozen=True)
class Remove:
    """Remove a node that has to exist."""

    path: str


Operation = Check | Create | Set | Remove


@dataclass(frozen=True)
class Plan:
    """The ZooKeeper transaction that settles a transaction of the store, and what it then answers."""

    operations: tuple[Operation, ...]
    succeeded: bool
    revision: int


FOUNDING = (
    Create(ROOT, b""),
    Create(LOG, b""),
    Create(KEYS, b""),
    Create(f"{LOG}/{1:020d}", b"[]"),
    Create(HEAD, b'{"revision":1,"oldest":1}'),
)
#: Changes nothing; its answer proves that a majority still follows the server asked.
BARRIER = (Check(ROOT),)


def log_path(revision: int) -> str:
    """The node that tells what `revision` changed."""
    return f"{LOG}/{revision:020d}"


def key_path(key: str) -> str:
    """The node of a key. Keys are flat: one may be the beginning of another."""
    return f"{KEYS}/={quote(key, safe='')}"  # `=`: a node may not be called "." or "..", nor nothing


def key_of(node: str) -> str:
    """The key of a child of KEYS."""
    return unquote(node.removeprefix("="))


def head_of(data: bytes) -> Head:
    """Read HEAD's data."""
    facts = json.loads(data)
    return Head(int(facts["revision"]), int(facts["oldest"]))


def record_of(key: str, data: bytes) -> Record:
    """Read the data of a key's node."""
    created, changed, value = json.loads(data)
    return Record(key, value, created, changed)


def events_of(revision: int, data: bytes) -> list[Event]:
    """Read the data of a log node: what `revision` changed, in the order of the transaction."""
    changes = json.loads(data)
    return [
        Event(key, None if created is None else Record(key, value, created, revision), revision)
        for key, created, value in changes
    ]


def plan(
    head: Head, records: Mapping[str, Record | None], guards: Sequence[Guard], changes: Sequence[Put | Delete]
) -> Plan:
    """Decide a transaction. `records` are the keys it names, read after `head`."""
    held = all(holds(guard, records[guard.key]) for guard in guards)
    effective = [change for change in dict.fromkeys(changes) if isinstance(change, Put) or records[change.key]]
    if not held:
        effective = []
    revision = head.revision + 1
    log = log_path(revision)
    newest = Check(log_path(head.revision))
    if not effective:
        # Create and remove in one step: "there is no revision after this one", which ZooKeeper has no word for.
        return Plan((newest, Create(log, b""), Remove(log)), held, head.revision)
    past = range(
        head.oldest, max(head.oldest, min(revision - KEPT + 1, head.oldest + FORGOTTEN_AT_ONCE, head.revision))
    )
    entry = [_entry(change, records[change.key], revision) for change in effective]
    written = [
        _node(change, created, records[change.key] is None, revision)
        for change, (_, created, _) in zip(effective, entry, strict=True)
    ]
    oldest = past.stop
    operations: list[Operation] = [newest, Create(log, _json(entry)), *written]
    operations += [Remove(log_path(old)) for old in past]
    operations.append(Set(HEAD, _json({"revision": revision, "oldest": oldest})))
    return Plan(tuple(operations), True, revision)


def holds(guard: Guard, record: Record | None) -> bool:
    """Whether a guard holds; an absent key has revision 0 and no value."""
    if guard.field is Field.VALUE:
        return record is not None and record.value == guard.expected
    return (getattr(record, guard.field.value) if record else 0) == guard.expected


def fold(records: dict[str, Record], events: Sequence[Event], prefix: str) -> list[Record]:
    """Bring `records`, each read at a moment of its own, to the last of `events`; return them in key order.

    `events` are all changes since a revision before the first read.
    """
    now = dict(records)
    for event in events:
        if event.record is None:
            now.pop(event.key, None)
        elif event.key.startswith(prefix):
            now[event.key] = event.record
    return [now[key] for key in sorted(now, key=str.encode)]


def refusal(guards: Sequence[Guard], changes: Sequence[Put | Delete]) -> str | None:
    """Why the store takes no such transaction (etcd's words where it has some), or None."""
    if max(len(guards), len(changes)) > MOST_OPERATIONS:
        return "too many operations in txn request"
    keys = [guard.key for guard in guards] + [change.key for change in changes]
    if not all(keys):
        return "key is not provided"
    put = [change.key for change in changes if isinstance(change, Put)]
    if len(set(put)) < len(put) or set(put) & {change.key for change in changes if isinstance(change, Delete)}:
        return "duplicate key given in txn request"
    if sum(len(change.key) + len(change.value.encode()) for change in changes if isinstance(change, Put)) > MOST_BYTES:
        return "request is too large"
    return None


def size(operations: Sequence[Operation]) -> int:
    """About how many bytes a ZooKeeper transaction takes on the wire, rather more than less."""
    return sum(_FRAMING + len(each.path) + len(getattr(each, "data", b"")) for each in operations)


def _entry(change: Put | Delete, record: Record | None, revision: int) -> tuple[str, int | None, str | None]:
    if isinstance(change, Delete):
        return change.key, None, None
    return change.key, record.create_revision if record else revision, change.value


def _node(change: Put | Delete, created: int | None, absent: bool, revision: int) -> Operation:
    path = key_path(change.key)
    if isinstance(change, Delete):
        return Remove(path)
    data = _json([created, revision, change.value])
    return Create(path, data) if absent else Set(path, data)


def _json(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
