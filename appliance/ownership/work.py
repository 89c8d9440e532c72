"""How a group's owner begins and ends a run of scheduled work: so that it runs once, and only while it is the owner.

Both are guarded by the session, by the ownership and by the run's record as it was seen. A refused beginning means
that somebody else began it, or that this node is the owner no more.
"""

from __future__ import annotations

from datetime import datetime

from appliance.cluster import keys
from appliance.cluster.work import OVER, Run, RunState
from appliance.coordination.store import Field, Guard, Put
from appliance.ownership.records import OwnerSeen
from appliance.ownership.transactions import Transaction


def begin(run: Run, revision: int, owner: OwnerSeen, now: datetime) -> Transaction:
    """The owner begins an ordered run; `revision` is that at which the run was seen."""
    begun = run.model_copy(
        update={
            "state": RunState.RUNNING,
            "owner": owner.record.node,
            "session_epoch": owner.record.session_epoch,
            "began": now,
        }
    )
    return _write(begun, revision, owner)


def progress(run: Run, revision: int, owner: OwnerSeen, *, detail: str) -> Transaction:
    """The owner tells how far a run is that it began."""
    return _write(run.model_copy(update={"detail": detail}), revision, owner)


def end(
    run: Run,
    revision: int,
    owner: OwnerSeen,
    now: datetime,
    *,
    state: RunState,
    reason: str = "",
    exit_code: int | None = None,
    detail: str = "",
) -> Transaction:
    """The owner tells what came of a run that it began; `state` is one of OVER."""
    assert state in OVER
    told = {"state": state, "ended": now, "reason": reason, "exit_code": exit_code, "detail": detail}
    ended = run.model_copy(update=told)
    return _write(ended, revision, owner)


def _write(run: Run, revision: int, owner: OwnerSeen) -> Transaction:
    key = keys.run(run.group, run.work, run.id)
    guards = (
        Guard(keys.session(owner.record.node), Field.CREATE_REVISION, owner.record.session_epoch),
        Guard(keys.owner(run.group), Field.MOD_REVISION, owner.epoch),
        Guard(key, Field.MOD_REVISION, revision),
    )
    return Transaction(guards, (Put(key, run.model_dump_json()),))
