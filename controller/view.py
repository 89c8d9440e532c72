"""Everything seen of the store, as frozen facts.

What should be and what is reported comes by watches and may be late. Sessions, owners, and what observers and
operators say are read linearizably before each decision (`look`), because a late watch must never fence anybody; and
nobody watches what is renewed all the time. A record that cannot be read is never taken for an absent one: what stands
behind it is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from appliance.cluster import keys
from appliance.cluster.decided import (
    Acknowledgement,
    Drain,
    FenceRecord,
    FenceRequest,
    FenceSpec,
    Observation,
    ProtocolTiming,
    Wish,
)
from appliance.cluster.model import Fact, Node, ServiceGroup
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.cluster.report import NodeReport
from appliance.cluster.work import Run, Work
from appliance.coordination.store import Event, Record, Store
from appliance.errors import PosthouseError
from appliance.ownership.records import OwnerSeen, SessionSeen, UnreadableRecord, owner_seen, session_seen

_Kind_co = TypeVar("_Kind_co", bound=Fact, covariant=True)


@dataclass(frozen=True)
class Seen(Generic[_Kind_co]):
    """A record and the revision at which it was written."""

    fact: _Kind_co
    revision: int


#: What is watched, and what stands below it.
WATCHED = (keys.DESIRED, keys.STATUS, keys.RUNS)
#: What is read with every look besides sessions, owners and the leader.
LOOKED_AT = (keys.OBSERVATIONS, keys.ACKNOWLEDGEMENTS, keys.FENCE_REQUESTS, keys.FENCES)
#: The kinds of records by prefix; none of the prefixes begins with another.
KINDS: Mapping[str, type[Fact]] = MappingProxyType(
    {
        keys.NODES: Node,
        keys.GROUPS: ServiceGroup,
        keys.WISHES: Wish,
        keys.DRAINED: Drain,
        keys.FENCE_SPECS: FenceSpec,
        keys.TIMING: ProtocolTiming,
        keys.WORK: Work,
        keys.STATUS: NodeReport,
        keys.RUNS: Run,
        keys.OBSERVATIONS: Observation,
        keys.ACKNOWLEDGEMENTS: Acknowledgement,
        keys.FENCE_REQUESTS: FenceRequest,
        keys.FENCES: FenceRecord,
    }
)


@dataclass(frozen=True)
class View:
    """Records by kind and by what follows the prefix; `settings` are those of the whole system, as stored."""

    tables: Mapping[str, Mapping[str, Seen[Any]]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()

    def table(self, prefix: str) -> Mapping[str, Seen[Any]]:
        """The records below a prefix of KINDS."""
        return self.tables.get(prefix, {})

    def facts(self, prefix: str) -> dict[Any, Any]:
        """The same without their revisions."""
        return {name: seen.fact for name, seen in self.table(prefix).items()}


_SYSTEM_SETTINGS = keys.SETTINGS + "system/-/"


class Viewer:
    """Keeps the view while records and events come in."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Seen[Any]]] = {prefix: {} for prefix in KINDS}
        self._settings: dict[str, str] = {}
        self._unreadable: set[str] = set()
        self._revisions: dict[str, dict[str, int]] = {}
        self._view: View | None = None

    def load(self, prefix: str, records: Iterable[Record]) -> None:
        """Forget everything below the prefix and begin with these."""
        for each, table in self._tables.items():
            if each.startswith(prefix):
                table.clear()
        if _SYSTEM_SETTINGS.startswith(prefix):
            self._settings.clear()
        self._unreadable = {key for key in self._unreadable if not key.startswith(prefix)}
        for record in records:
            self._take(record.key, record)
        self._view = None

    def refresh(self, prefix: str, records: Sequence[Record]) -> None:
        """`load`, unless nothing has changed."""
        revisions = {record.key: record.mod_revision for record in records}
        if self._revisions.get(prefix) != revisions:
            self._revisions[prefix] = revisions
            self.load(prefix, records)

    def apply(self, events: Iterable[Event]) -> None:
        """Take changes in."""
        for event in events:
            self._take(event.key, event.record)
        self._view = None

    @property
    def view(self) -> View:
        """What is known now; the same object until something changes."""
        if self._view is None:
            tables = {prefix: dict(table) for prefix, table in self._tables.items()}
            self._view = View(tables, dict(self._settings), frozenset(self._unreadable))
        return self._view

    def _take(self, key: str, record: Record | None) -> None:
        if key.startswith(_SYSTEM_SETTINGS):
            name = key.removeprefix(_SYSTEM_SETTINGS)
            self._settings.pop(name, None)
            if record is not None:
                self._settings[name] = record.value
            return
        prefix = next((each for each in KINDS if key.startswith(each)), None)
        if prefix is None:
            return
        name = key.removeprefix(prefix)
        self._tables[prefix].pop(name, None)
        self._unreadable.discard(key)
        if record is not None:
            try:
                fact = KINDS[prefix].model_validate_json(record.value)
            except (ValidationError, PosthouseError):
                self._unreadable.add(key)
            else:
                self._tables[prefix][name] = Seen(fact, record.mod_revision)


@dataclass(frozen=True)
class Look:
    """Sessions, owners, the leader's record and those of LOOKED_AT, by prefix.

    They were read at `read_at` on this controller's clock (after the answer).
    """

    read_at: float
    sessions: Mapping[NodeName, SessionSeen] = field(default_factory=dict)
    owners: Mapping[GroupName, OwnerSeen] = field(default_factory=dict)
    unreadable_sessions: frozenset[NodeName] = frozenset()
    unreadable_owners: frozenset[GroupName] = frozenset()
    leader: Record | None = None
    said: Mapping[str, Sequence[Record]] = field(default_factory=dict)

    def left_alone(self, group: GroupName) -> bool:
        """Whether a record of this group, or of its owner's session, cannot be read."""
        owner = self.owners.get(group)
        return group in self.unreadable_owners or (owner is not None and owner.record.node in self.unreadable_sessions)


class Looker:
    """Reads sessions and owners; what did not change is not parsed again."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[int, SessionSeen | OwnerSeen | None]] = {}

    def look(self, store: Store, deadline: Seconds, clock: Callable[[], float]) -> Look:
        """One linearizable look. Raises StoreUnavailable.

        Not every store reads them at one revision; whoever acts on several guards each (a fence's order does).
        """
        prefixes = [keys.OWNERS, keys.SESSIONS, keys.LEADER, *LOOKED_AT]
        owners, sessions, leaders, *others = store.snapshot(prefixes, deadline=deadline)
        read_at = clock()
        before, self._parsed = self._parsed, {}
        found_owners, bad_owners = self._sort(owners, keys.OWNERS, before, owner_seen)
        found_sessions, bad_sessions = self._sort(sessions, keys.SESSIONS, before, session_seen)
        leader = next((record for record in leaders if record.key == keys.LEADER), None)
        said = dict(zip(LOOKED_AT, others, strict=True))
        return Look(read_at, found_sessions, found_owners, bad_sessions, bad_owners, leader, said)

    def _sort(
        self, records: Iterable[Record], prefix: str, before: Mapping[str, Any], parse: Any
    ) -> tuple[dict[Any, Any], frozenset[Any]]:
        found, unreadable = {}, set()
        for record in records:
            known = before.get(record.key)
            if known is None or known[0] != record.mod_revision:
                try:
                    known = (record.mod_revision, parse(record))
                except UnreadableRecord:
                    known = (record.mod_revision, None)
            self._parsed[record.key] = known
            name = record.key.removeprefix(prefix)
            if known[1] is None:
                unreadable.add(name)
            else:
                found[name] = known[1]
        return found, frozenset(unreadable)
