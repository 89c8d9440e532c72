"""Nodes as operators treat them: empty, in use again, fenced, known to be off."""

from __future__ import annotations

import getpass
import socket
from datetime import UTC, datetime

from appliance.cluster import keys
from appliance.cluster.decided import Acknowledgement, ControllerReport, Drain, FenceRequest, FenceSpec
from appliance.cluster.model import Node, Ownership
from appliance.cluster.names import NodeName
from appliance.coordination.store import Field, Guard, Put, Store
from appliance.errors import BadInput, NotFound, PosthouseError
from appliance.operations import fences, groups
from appliance.ownership.records import session_seen


class NothingToAcknowledge(PosthouseError):
    """The node owns nothing and has no session: nothing waits for an operator's word."""


def known(store: Store, name: NodeName) -> Node:
    """The node of that name; raise NotFound."""
    found = groups.nodes(store).get(name)
    if found is None:
        raise NotFound("node-not-found", node=name)
    return found


def drain(store: Store, name: NodeName) -> None:
    """Wish the node empty: its groups move to others, none comes. Raise NotFound."""
    known(store, name)
    record = Drain(node=name, since=datetime.now(UTC), by=operator())
    store.create(keys.drained(name), record.model_dump_json())


def resume(store: Store, name: NodeName) -> bool:
    """The node may own groups again; return whether it was drained. Raise NotFound."""
    known(store, name)
    key = keys.drained(name)
    drained = store.get(key) is not None
    store.delete(key)
    return drained


def request_fence(store: Store, name: NodeName) -> int:
    """Ask the leading controller to cut the node off now; return the epoch of the session that is meant.

    Raises NotFound, BadInput when no fence is set for it, or one that misses it, NothingToAcknowledge when it owns
    nothing that a fence could free.
    """
    known(store, name)
    if store.get(keys.fence_spec(name)) is None:
        raise BadInput("node", "node-has-no-fence", value=name)
    if fences.misses(store, name):
        raise BadInput("node", "node-fence-misses", value=name)
    epoch = session_epoch(store, name)
    store.put(keys.fence_request(name), FenceRequest(node=name, session_epoch=epoch, by=operator()).model_dump_json())
    return epoch


def acknowledge(store: Store, name: NodeName) -> int:
    """Say that the node is off: its groups may be taken. Return the epoch of the session that is meant.

    Raises NotFound, NothingToAcknowledge.
    """
    known(store, name)
    epoch = session_epoch(store, name)
    record = Acknowledgement(node=name, session_epoch=epoch, by=operator(), at=datetime.now(UTC))
    store.put(keys.acknowledgement(name), record.model_dump_json())
    return epoch


def session_epoch(store: Store, name: NodeName) -> int:
    """The epoch under which the node owns groups, else that of its session; raise NothingToAcknowledge.

    Where several count, it is the one on which the leading controller waits.
    """
    report = store.get(keys.CONTROLLER)
    if report is not None:
        waiting = ControllerReport.model_validate_json(report.value).waiting
        for each in waiting:
            if each.node == name:
                return each.session_epoch
    for record in store.list(keys.OWNERS)[0]:
        owner = Ownership.model_validate_json(record.value)
        if owner.node == name:
            return owner.session_epoch
    session = store.get(keys.session(name))
    if session is None:
        raise NothingToAcknowledge("node-owns-nothing", node=name)
    return session_seen(session).epoch


def session_stands(store: Store, name: NodeName, epoch: int) -> bool:
    """Whether the node still has the session of that epoch."""
    session = store.get(keys.session(name))
    return session is not None and session_seen(session).epoch == epoch


def set_fence(store: Store, spec: FenceSpec) -> None:
    """Say how a node is fenced; raise NotFound."""
    known(store, spec.node)
    key = keys.fence_spec(spec.node)
    record = store.get(key)
    seen = record.mod_revision if record else 0
    if not store.transact([Guard(key, Field.MOD_REVISION, seen)], [Put(key, spec.model_dump_json())]).succeeded:
        raise PosthouseError("fence-changed-meanwhile", node=spec.node)


def clear_fence(store: Store, name: NodeName) -> None:
    """The node has no fence any more: its groups then wait for an operator when it dies."""
    known(store, name)
    store.delete(keys.fence_spec(name))


def operator() -> str:
    """Who asks, for the decision log: USER@HOST."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "?"
    return f"{user}@{socket.gethostname()}"
