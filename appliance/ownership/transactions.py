"""The guarded transactions of the protocol, for any store: guards and changes, sent by `Transaction.send`.

No transaction names a key twice among its changes (etcd refuses that). A transaction without an answer may
have happened, and may still happen later; its guards are what makes that harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.cluster import keys
from appliance.cluster.model import Basis, Ownership, OwnershipStage, Session
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Delete, Field, Guard, Outcome, Put, Store
from appliance.ownership.records import OwnerSeen, SessionSeen


@dataclass(frozen=True)
class Transaction:
    """Every guard holds and all changes happen, or nothing does."""

    guards: tuple[Guard, ...]
    changes: tuple[Put | Delete, ...]

    def send(self, store: Store, deadline: Seconds) -> Outcome:
        """Raise StoreUnavailable when no answer came within `deadline`."""
        return store.transact(self.guards, self.changes, deadline=deadline)


# --- sessions ---------------------------------------------------------------------------------------------


def open_session(session: Session) -> Transaction:
    """Begin a session where none is; the outcome's revision is the epoch."""
    key = keys.session(session.node)
    return Transaction((Guard(key, Field.CREATE_REVISION, 0),), (_put(key, session),))


def renew_session(session: Session, epoch: int) -> Transaction:
    """Renew, if the session is still this one."""
    key = keys.session(session.node)
    return Transaction((Guard(key, Field.CREATE_REVISION, epoch),), (_put(key, session),))


def close_session(node: NodeName, revision: int) -> Transaction:
    """End the session that a former keeper of this node left at `revision`."""
    key = keys.session(node)
    return Transaction((Guard(key, Field.MOD_REVISION, revision),), (Delete(key),))


# --- the owner's writes: guarded by both epochs -----------------------------------------------------------


def confirm(ownership: Ownership, owner_epoch: int) -> Transaction:
    """Publish that the owner is prepared; before it succeeded nothing is mounted."""
    key = keys.owner(ownership.group)
    guards = _owner_guards(ownership.node, ownership.session_epoch, key, owner_epoch)
    return Transaction(guards, (_put(key, ownership),))


def hand_over(node: NodeName, session_epoch: int, group: GroupName, owner_epoch: int, to: SessionSeen) -> Transaction:
    """Give a group that was stopped and unmounted to another node's session."""
    key = keys.owner(group)
    guards = _owner_guards(node, session_epoch, key, owner_epoch)
    granted = _granted(group, to, Basis.HANDED_OVER)
    return Transaction((*guards, _alive(to)), (_put(key, granted),))


def give_up(node: NodeName, session_epoch: int, group: GroupName, owner_epoch: int) -> Transaction:
    """Leave a group that was stopped and unmounted without an owner."""
    key = keys.owner(group)
    return Transaction(_owner_guards(node, session_epoch, key, owner_epoch), (Delete(key),))


def _owner_guards(node: NodeName, session_epoch: int, key: str, owner_epoch: int) -> tuple[Guard, ...]:
    return (
        Guard(keys.session(node), Field.CREATE_REVISION, session_epoch),
        Guard(key, Field.MOD_REVISION, owner_epoch),
    )


# --- the other side's writes ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """A group's record as it was seen, and the session to grant it to; None leaves it without an owner."""

    owner: OwnerSeen
    target: SessionSeen | None


def grant(group: GroupName, owner_epoch: int, target: SessionSeen, basis: Basis) -> Transaction:
    """Grant a group that nobody can have mounted; `owner_epoch` 0 where there is no record."""
    key = keys.owner(group)
    guards = (Guard(key, Field.MOD_REVISION, owner_epoch), _alive(target))
    return Transaction(guards, (_put(key, _granted(group, target, basis)),))


def take_over(node: NodeName, session_revision: int | None, moves: Sequence[Move], basis: Basis) -> Transaction:
    """End the session of a node that cannot write, unless it was renewed since, and move its groups at once.

    At once, because with the session the clock of its silence ends too. `session_revision` 0: it is gone.
    None: the owner's session is over, and the later one of that name is another machine's and left alone.
    """
    guards: list[Guard] = []
    changes: list[Put | Delete] = []
    if session_revision is not None:
        guards.append(Guard(keys.session(node), Field.MOD_REVISION, session_revision))
        changes.append(Delete(keys.session(node)))
    for move in moves:
        group = move.owner.record.group
        key = keys.owner(group)
        guards.append(Guard(key, Field.MOD_REVISION, move.owner.epoch))
        if move.target is None:
            changes.append(Delete(key))
        else:
            guards.append(_alive(move.target))
            changes.append(_put(key, _granted(group, move.target, basis)))
    return Transaction(tuple(guards), tuple(changes))


def _alive(target: SessionSeen) -> Guard:
    return Guard(keys.session(target.record.node), Field.CREATE_REVISION, target.epoch)


def _granted(group: GroupName, target: SessionSeen, basis: Basis) -> Ownership:
    return Ownership(
        group=group,
        node=target.record.node,
        session_epoch=target.epoch,
        stage=OwnershipStage.GRANTED,
        basis=basis,
        machine_id=target.record.machine_id,
    )


def _put(key: str, fact: Session | Ownership) -> Put:
    return Put(key, fact.model_dump_json())
