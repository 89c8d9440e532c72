"""A mailbox's move as it is ordered from any node: a run of work for the owner of the mailbox's group.

The run's last lines are JSON: {"step": KEY} while it goes on; {"moved": …} or {"failed": KEY, "facts": …} at its end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from appliance.cluster import keys
from appliance.cluster.names import GroupName, Seconds
from appliance.cluster.work import MOVE_MAILBOX, OVER, Run, RunState
from appliance.coordination.store import Delete, Field, Guard, Put, Record, Store, StoreUnavailable
from appliance.directory.model import Mailbox
from appliance.errors import PosthouseError, Unavailable
from appliance.mailbox_move.move import Moved
from appliance.operations.where import not_here

#: So long a move may take.
_DAY: Final = 86_400.0
#: So long the owner of the group may take to begin.
_BEGIN: Final = Seconds(30.0)
#: So long the store may be away while a move is waited for.
_AWAY: Final = Seconds(30.0)
#: Moves that ended so long ago are forgotten.
_KEPT: Final = timedelta(hours=1)
_POLL: Final = 0.2
#: Of a line that the agent takes from the journal (nodeagent/agent/journal.py).
_LONGEST: Final = 290
_LONGEST_FACT: Final = 120


def step(key: str) -> str:
    """The line that tells of a step."""
    return json.dumps({"step": key})


def ended(moved: Moved) -> str:
    """The line that tells how it went."""
    return json.dumps({"moved": asdict(moved)})


def failed(error: PosthouseError | OSError) -> str:
    """The line that tells why it came to nothing."""
    if isinstance(error, OSError):
        error = PosthouseError("move-failed", detail=str(error))
    facts = {name: str(value)[-_LONGEST_FACT:] for name, value in error.facts.items()}
    line = json.dumps({"failed": error.key, "code": error.exit_code, "facts": facts})
    return line if len(line) <= _LONGEST else json.dumps({"failed": "move-failed", "facts": {"detail": error.key}})


def order(store: Store, mailbox: Mailbox, target: GroupName, now: datetime) -> Run:
    """Order the move, or find the one that is under way to the same group. Raises Unavailable, StoreUnavailable."""
    group = GroupName(mailbox.group)
    name = f"move-{mailbox.id}"
    _forget_old(store, now)
    for run, _ in _runs(store, f"{keys.RUNS}{group}/{name}/"):
        if run.state not in OVER:
            if run.parameters.get("target") != target:
                raise Unavailable("move-busy", address=mailbox.address)
            return run
    run = Run(
        group=group,
        work=name,
        id=f"{int(now.timestamp() * 1000):015d}",
        kind=MOVE_MAILBOX,
        due=now,
        parameters={"address": mailbox.address, "target": target},
        patience=_DAY,
    )
    key = keys.run(group, name, run.id)
    if not store.transact([Guard(key, Field.CREATE_REVISION, 0)], [Put(key, run.model_dump_json())]).succeeded:
        raise Unavailable("move-busy", address=mailbox.address)
    return run


def follow(store: Store, run: Run, say: Callable[[str], None]) -> Moved:
    """Wait until the run is over; `say` is told each step's message key that is seen.

    Raises what ended the move, and Unavailable when nobody begins it (it is ordered no more then) or its end is not
    known.
    """
    key, told = keys.run(run.group, run.work, run.id), ""
    until = time.monotonic() + _BEGIN
    while True:
        record = _patiently(store, key)
        stands = _read(record) if record is not None else None
        if record is None or stands is None:
            raise Unavailable("move-cut-off")
        if stands.state in OVER:
            store.delete(key)
            return _outcome(stands)
        late = stands.state is RunState.ORDERED and time.monotonic() >= until
        if late and store.transact([Guard(key, Field.MOD_REVISION, record.mod_revision)], [Delete(key)]).succeeded:
            raise not_here("move-nobody-begins", run.group)
        latest = str(_last(stands).get("step", ""))
        if latest and latest != told:
            told = latest
            say(told)
        time.sleep(_POLL)


def _patiently(store: Store, key: str) -> Record | None:
    """The record, also when the store is away for a moment: a server of it may die meanwhile."""
    until = time.monotonic() + _AWAY
    while True:
        try:
            return store.get(key)
        except StoreUnavailable:
            if time.monotonic() >= until:
                raise
            time.sleep(_POLL)


def _outcome(run: Run) -> Moved:
    said = _last(run)
    if "moved" in said:
        return Moved(**said["moved"])
    if "failed" in said:
        kind = Unavailable if said.get("code") == Unavailable.exit_code else PosthouseError
        raise kind(said["failed"], **said.get("facts", {}))
    if run.state is RunState.DONE:  # a journal that did not answer in time told no line of it
        parameters = run.parameters
        return Moved(parameters["address"], run.group, parameters["target"], None, None)
    if run.state is RunState.FAILED and run.detail and "step" not in said:
        raise Unavailable("move-failed", detail=run.detail.splitlines()[-1][-300:])
    raise Unavailable("move-cut-off")


def _last(run: Run) -> dict[str, Any]:
    """The last line of ours that the run's program printed; others may stand between and after."""
    for line in reversed(run.detail.splitlines()):
        with suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict):
                return said
    return {}


def _forget_old(store: Store, now: datetime) -> None:
    """Delete what is left of moves that nobody waited for."""
    for run, record in _runs(store, keys.RUNS):
        if run.kind == MOVE_MAILBOX and run.state in OVER and (run.ended or run.due) < now - _KEPT:
            store.transact([Guard(record.key, Field.MOD_REVISION, record.mod_revision)], [Delete(record.key)])


def _runs(store: Store, prefix: str) -> Iterator[tuple[Run, Record]]:
    for record in store.list(prefix)[0]:
        run = _read(record)
        if run is not None:
            yield run, record


def _read(record: Record) -> Run | None:
    try:
        return Run.model_validate_json(record.value)
    except (ValidationError, PosthouseError):
        return None
