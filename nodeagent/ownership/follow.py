"""Reads what the store says about groups, and says so at once when it changes.

The watches only ring: what counts is read anew, confirmed by a quorum, so a look is never older than the one before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from appliance.cluster import keys
from appliance.cluster.decided import Placement, ProtocolTiming
from appliance.cluster.model import Fact, Node, ServiceGroup
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Record, Store, StoreUnavailable, Watch
from appliance.errors import PosthouseError
from appliance.ownership.records import OwnerSeen, SessionSeen, UnreadableRecord, owner_seen, session_seen

log = logging.getLogger("posthouse.keeper")

#: A look is due after this even if no watch rang.
LOOK_AGAIN = Seconds(10.0)
#: Between two attempts to watch, or to read, a store that does not answer.
_RETRY = Seconds(1.0)
#: How often a silent watch wakes up for nothing.
_IDLE = Seconds(60.0)
#: What rings. Sessions do not: they change every R seconds.
_WATCHED = (keys.DESIRED, keys.PLACEMENTS, keys.OWNERS)

_Kind = TypeVar("_Kind", bound=Fact)


@dataclass(frozen=True)
class View:
    """One look. `revision` is that of the ownership records; None among the values: a record that nobody can read."""

    revision: int
    groups: Mapping[GroupName, ServiceGroup | None] = field(default_factory=dict)
    owners: Mapping[GroupName, OwnerSeen | None] = field(default_factory=dict)
    placements: Mapping[GroupName, Placement | None] = field(default_factory=dict)
    sessions: Mapping[NodeName, SessionSeen] = field(default_factory=dict)
    timing: ProtocolTiming | None = None
    #: This node's own record.
    node: Node | None = None


def look(store: Store, deadline: Seconds, me: NodeName) -> View:
    """Read everything; raises StoreUnavailable. Owners first: what is decided by them is younger, never older."""
    owners, revision = store.list(keys.OWNERS, deadline=deadline)
    groups, _ = store.list(keys.GROUPS, deadline=deadline)
    placements, _ = store.list(keys.PLACEMENTS, deadline=deadline)
    sessions, _ = store.list(keys.SESSIONS, deadline=deadline)
    timing = store.get(keys.TIMING, deadline=deadline)
    node = store.get(keys.node(me), deadline=deadline)
    return View(
        revision,
        {_name(record): _parsed(ServiceGroup, record) for record in groups},
        {_name(record): _seen(record) for record in owners},
        {_name(record): _parsed(Placement, record) for record in placements},
        _sessions(sessions),
        _parsed(ProtocolTiming, timing) if timing is not None else None,
        _parsed(Node, node) if node is not None else None,
    )


def _name(record: Record) -> GroupName:
    return GroupName(record.key.rpartition("/")[2])


def _parsed(kind: type[_Kind], record: Record) -> _Kind | None:
    try:
        return kind.model_validate_json(record.value)
    except (ValueError, PosthouseError) as error:
        log.error("%s cannot be read and is left as it is: %s", record.key, type(error).__name__)
        return None


def _seen(record: Record) -> OwnerSeen | None:
    try:
        return owner_seen(record)
    except UnreadableRecord as error:
        log.error("%s", error)
        return None


def _sessions(records: list[Record]) -> dict[NodeName, SessionSeen]:
    found = {}
    for record in records:
        try:
            session = session_seen(record)
        except UnreadableRecord as error:
            log.error("%s", error)
        else:
            found[session.record.node] = session
    return found


class Follower(threading.Thread):
    """Looks whenever a watch rings or `ring` is called, and hands what it saw to `saw`, in its own thread."""

    def __init__(
        self, me: NodeName, connect: Callable[[], Store], saw: Callable[[View], None], deadline: Callable[[], Seconds]
    ):
        super().__init__(name="look at the store", daemon=True)
        self._me = me
        self._connect = connect
        self._saw = saw
        self._deadline = deadline
        self._rung = threading.Event()
        self._ended = threading.Event()
        self._store: Store | None = None
        self._watches: dict[str, Watch] = {}

    def ring(self) -> None:
        """Look at once; from any thread."""
        self._rung.set()

    def end(self) -> None:
        self._ended.set()
        self._rung.set()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._store = self._store or self._connect()
                self._rung.clear()
                view = look(self._store, self._deadline(), self._me)
                self._saw(view)
                self._watch(self._store, view.revision)
                self._rung.wait(LOOK_AGAIN)
            except StoreUnavailable as error:
                log.warning("groups not read: %s", error)
                self._ended.wait(_RETRY)
            except Exception:
                log.exception("looking at the store failed; trying again")
                self._ended.wait(_RETRY)
        if self._store is not None:
            self._store.close()

    def _watch(self, store: Store, after: int) -> None:
        """Watch what is not watched, from before the look: what changed since rings."""
        for prefix in _WATCHED:
            if prefix not in self._watches:
                watch = self._watches[prefix] = store.watch(prefix, after=after, idle=_IDLE)
                threading.Thread(
                    target=self._listen, args=(prefix, watch), name=f"listen {prefix}", daemon=True
                ).start()

    def _listen(self, prefix: str, watch: Watch) -> None:
        try:
            for events in watch:
                if events:
                    self._rung.set()
        except Exception as error:
            if not self._ended.is_set():
                log.warning("watching %s ended: %s", prefix, error)
        finally:
            watch.close()
            self._watches.pop(prefix, None)
            self._rung.set()
