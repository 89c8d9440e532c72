"""Scheduled work of groups as operators see it, order it, and ask for it now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from appliance.cluster import keys
from appliance.cluster.names import GroupName
from appliance.cluster.work import KINDS, OVER, Run, Work
from appliance.coordination.store import Delete, Field, Guard, Put, Record, Store
from appliance.errors import AlreadyExists, BadInput, NotFound, PosthouseError
from appliance.operations import groups


def works(store: Store, group: GroupName | None = None) -> list[Work]:
    """The scheduled work of the group, or of all; what cannot be read is passed over. Raises StoreUnavailable."""
    return [each for each, _ in _works(store, group)]


def runs(store: Store, group: GroupName | None = None, name: str | None = None) -> list[Run]:
    """The runs that are kept, oldest first. Raises StoreUnavailable."""
    prefix = keys.RUNS + (f"{group}/" if group else "") + (f"{name}/" if group and name else "")
    found = []
    for record in store.list(prefix)[0]:
        try:
            found.append(Run.model_validate_json(record.value))
        except (ValidationError, PosthouseError):
            continue
    return sorted(found, key=lambda run: run.id)


def known(store: Store, group: GroupName, name: str) -> Work:
    """Raise NotFound, StoreUnavailable."""
    return _known(store, group, name)[0]


def put(store: Store, group: GroupName, name: str, fields: Mapping[str, Any]) -> Work:
    """Write scheduled work, new or instead of the former. Raises BadInput, NotFound, StoreUnavailable."""
    groups.known(store, group)
    try:
        work = Work.model_validate({"group": group, "name": name, **fields})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(str(first["loc"][0]), "work-bad-field", detail=first["msg"]) from error
    if work.kind not in KINDS:
        raise BadInput("kind", "work-unknown-kind", value=work.kind, known=", ".join(sorted(KINDS)))
    store.put(keys.work(group, name), work.model_dump_json())
    return work


def delete(store: Store, group: GroupName, name: str) -> None:
    """Schedule it no more; what was run stays on record, and a run under way goes on. Raises NotFound."""
    _, record = _known(store, group, name)
    store.transact([Guard(record.key, Field.MOD_REVISION, record.mod_revision)], [Delete(record.key)])


def order(store: Store, group: GroupName, name: str, now: datetime) -> Run:
    """Order a run for now, beside the schedule, which counts on from here.

    Raises NotFound; AlreadyExists when one is ordered or under way; StoreUnavailable.
    """
    work, record = _known(store, group, name)
    history = runs(store, group, name)
    if any(run.state not in OVER for run in history):
        raise AlreadyExists("work-under-way", group=group, name=name)
    due = now.replace(microsecond=0)
    run = Run(
        group=group,
        work=name,
        id=f"{int(due.timestamp()):012d}",  # as the controller names them
        kind=work.kind,
        due=due,
        parameters=work.parameters,
        patience=work.patience,
    )
    key = keys.run(group, name, run.id)
    guards = [
        Guard(record.key, Field.MOD_REVISION, record.mod_revision),
        Guard(key, Field.CREATE_REVISION, 0),
    ]
    old = [Delete(keys.run(group, name, each.id)) for each in history[: -work.keep]]  # where no controller does it
    if not store.transact(guards, [Put(key, run.model_dump_json()), *old]).succeeded:
        raise AlreadyExists("work-under-way", group=group, name=name)
    return run


def _known(store: Store, group: GroupName, name: str) -> tuple[Work, Record]:
    for work, record in _works(store, group):
        if work.name == name:
            return work, record
    raise NotFound("work-not-found", group=group, name=name)


def _works(store: Store, group: GroupName | None) -> list[tuple[Work, Record]]:
    found = []
    for record in store.list(keys.WORK + (f"{group}/" if group else ""))[0]:
        try:
            found.append((Work.model_validate_json(record.value), record))
        except (ValidationError, PosthouseError):
            continue
    return found
