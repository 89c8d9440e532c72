"""Takes away records that have done their service, each guarded by the revision at which it was seen."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.cluster import keys
from appliance.cluster.names import NodeName
from appliance.coordination.store import Delete, Field, Guard
from controller.cases import Known
from controller.election import Led
from controller.events import DecisionLog
from controller.fencing.progress import Fences


def tidy(led: Led, known: Known, log: DecisionLog, fences: Fences) -> None:
    """Acknowledgements that were used or refuted, fences of nodes that are back or never went.

    Raises StoreUnavailable.
    """
    for node, revision in used_acknowledgements(known):
        key = keys.acknowledgement(node)
        if led.write([Guard(key, Field.MOD_REVISION, revision)], [Delete(key)]).succeeded:
            log.tell("event-acknowledgement-used", node=node)
    for node, revision in refuted_acknowledgements(known):
        key = keys.acknowledgement(node)
        if led.write([Guard(key, Field.MOD_REVISION, revision)], [Delete(key)]).succeeded:
            log.tell("event-acknowledgement-refuted", node=node, grave=True)
    for node, revision in finished_fences(known):
        key = keys.fence(node)
        if led.write([Guard(key, Field.MOD_REVISION, revision)], [Delete(key)]).succeeded:
            fences.forget(node)
            log.tell("event-node-back", node=node)
    for node in fences.over(known.sightings, known.missed):
        if node not in known.view.table(keys.FENCES):
            continue
        revision, key = known.view.table(keys.FENCES)[node].revision, keys.fence(node)
        if led.write([Guard(key, Field.MOD_REVISION, revision)], [Delete(key)]).succeeded:
            fences.forget(node)
            log.tell("event-fence-over", node=node)


def used_acknowledgements(known: Known) -> Iterator[tuple[NodeName, int]]:
    """Those of sessions that own nothing any more."""
    for name, seen in known.view.table(keys.ACKNOWLEDGEMENTS).items():
        if (NodeName(name), seen.fact.session_epoch) not in known.by_session and not known.look.unreadable_owners:
            yield NodeName(name), seen.revision


def refuted_acknowledgements(known: Known) -> Iterator[tuple[NodeName, int]]:
    """Those of sessions that were renewed since: the node is not off."""
    for name, seen in known.view.table(keys.ACKNOWLEDGEMENTS).items():
        owns = (NodeName(name), seen.fact.session_epoch) in known.by_session
        if owns and known.acknowledged(NodeName(name)) is None:
            yield NodeName(name), seen.revision


def finished_fences(known: Known) -> Iterator[tuple[NodeName, int]]:
    """Those of sessions that own nothing any more, of nodes that have a later one."""
    for name, seen in known.view.table(keys.FENCES).items():
        session = known.look.sessions.get(NodeName(name))
        over = (NodeName(name), seen.fact.session_epoch) not in known.by_session
        if session is not None and session.epoch > seen.fact.session_epoch and over:
            yield NodeName(name), seen.revision
