"""Sessions and ownership records as they stand in the store, parsed strictly, with the revisions that count.

A record that cannot be read is an error of its own and never taken for an absent one: what nobody
understands may belong to a newer release, and a group behind it is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from appliance.cluster import keys
from appliance.cluster.model import Fact, Ownership, Session
from appliance.coordination.store import Record
from appliance.errors import PosthouseError

_Kind = TypeVar("_Kind", bound=Fact)


class UnreadableRecord(PosthouseError):
    """A session or ownership record is not what this release understands."""

    def __init__(self, record: Record) -> None:
        super().__init__("record-unreadable")
        self.facts = {"key": record.key}


@dataclass(frozen=True)
class SessionSeen:
    """A session. `epoch` is its create revision; `revision` changes with every renewal."""

    record: Session
    epoch: int
    revision: int


@dataclass(frozen=True)
class OwnerSeen:
    """An ownership record; `epoch` is its mod revision."""

    record: Ownership
    epoch: int


def session_seen(record: Record) -> SessionSeen:
    """Parse a record below `sessions/`; raise UnreadableRecord."""
    session = _parse(Session, record)
    _stands_at(record, keys.session(session.node))
    return SessionSeen(session, record.create_revision, record.mod_revision)


def owner_seen(record: Record) -> OwnerSeen:
    """Parse a record below `owners/`; raise UnreadableRecord."""
    ownership = _parse(Ownership, record)
    _stands_at(record, keys.owner(ownership.group))
    return OwnerSeen(ownership, record.mod_revision)


def _parse(kind: type[_Kind], record: Record) -> _Kind:
    """No coercion ("7" is no number). Unknown fields pass: releases N and N-1 work side by side."""
    try:
        return kind.model_validate_json(record.value, strict=True)
    except (ValidationError, PosthouseError) as error:
        raise UnreadableRecord(record) from error


def _stands_at(record: Record, key: str) -> None:
    if record.key != key:
        raise UnreadableRecord(record)
