"""Everything seen of the store, as frozen facts.

What should be and what is reported comes by a watch and may be late. Sessions and owners are read linearizably
before each decision (`look`), because a late watch must never fence anybody. A record that cannot be read is never
taken for an absent one: what stands behind it is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    Placement,
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


#: What the watch keeps, by prefix. Longer prefixes stand for themselves: none begins with another.
KINDS: Mapping[str, type[Fact]] = MappingProxyType(
    {
        keys.NODES: Node,
        keys.GROUPS: ServiceGroup,
        keys.WISHES: Wish,
        keys.DRAINED: Drain,
        keys.FENCE_SPECS: FenceSpec,
        keys.TIMING: ProtocolTiming,
        keys.PLACEMENTS: Placement,
        keys.FENCES: FenceRecord,
        keys.STATUS: NodeReport,
        keys.OBSERVATIONS: Observation,
        keys.ACKNOWLEDGEMENTS: Acknowledgement,
        keys.FENCE_REQUESTS: FenceRequest,
        keys.WORK: Work,
        keys.RUNS: Run,
    }
)


@dataclass(frozen=True)
class View:
    """Records by kind and by what follows the prefix; `settings` are those of the whole system, as stored."""

    revision: int = 0
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
        self._revision = 0
        self._view: View | None = None

    def load(self, records: Iterable[Record], revision: int) -> None:
        """Forget everything and begin with these."""
        self.__init__()  # type: ignore[misc]  # the same as new
        for record in records:
            self._take(record.key, record)
        self._revision = revision

    def apply(self, events: Iterable[Event]) -> bool:
        """Take changes in; return whether any of them counts here."""
        touched = False
        for event in events:
            self._revision = event.revision
            touched |= self._take(event.key, event.record)
        if touched:
            self._view = None
        return touched

    @property
    def view(self) -> View:
        """What is known now; the same object until something changes."""
        if self._view is None:
            tables = {prefix: dict(table) for prefix, table in self._tables.items()}
            self._view = View(self._revision, tables, dict(self._settings), frozenset(self._unreadable))
        return self._view

    def _take(self, key: str, record: Record | None) -> bool:
        if key.startswith(_SYSTEM_SETTINGS):
            name = key.removeprefix(_SYSTEM_SETTINGS)
            self._settings.pop(name, None)
            if record is not None:
                self._settings[name] = record.value
            return True
        prefix = next((each for each in KINDS if key.startswith(each)), None)
        if prefix is None:
            return False
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
        return True


@dataclass(frozen=True)
class Look:
    """Sessions, owners and the leader's record, read at `read_at` on this controller's clock (after the answer)."""

    read_at: float
    sessions: Mapping[NodeName, SessionSeen] = field(default_factory=dict)
    owners: Mapping[GroupName, OwnerSeen] = field(default_factory=dict)
    unreadable_sessions: frozenset[NodeName] = frozenset()
    unreadable_owners: frozenset[GroupName] = frozenset()
    leader: Record | None = None

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
        owners, sessions, leaders = store.snapshot([keys.OWNERS, keys.SESSIONS, keys.LEADER], deadline=deadline)
        read_at = clock()
        before, self._parsed = self._parsed, {}
        found_owners, bad_owners = self._sort(owners, keys.OWNERS, before, owner_seen)
        found_sessions, bad_sessions = self._sort(sessions, keys.SESSIONS, before, session_seen)
        leader = next((record for record in leaders if record.key == keys.LEADER), None)
        return Look(read_at, found_sessions, found_owners, bad_sessions, bad_owners, leader)

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
