"""Scheduled work that belongs to a group, such as its backup, as it stands in the store.

An operator (or a feature) writes `desired/work/GROUP/NAME`. The leading controller orders a run when it is due:
`runs/GROUP/NAME/ID`. The agent of the group's owner carries it out and writes what came of it. A run that was ordered
stays ordered when the leader or the owner changes; one that was begun by an owner that is gone is told as lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from appliance.cluster.model import CheckedGroupName, CheckedNodeName, Fact
from appliance.errors import BadInput

#: The kinds of work that this release knows how to do (nodeagent/work/kinds.py).
KINDS = frozenset({"purge"})
#: Moves a mailbox to another group: ordered by an operator, one run at a time, and never scheduled.
MOVE_MAILBOX = "move-mailbox"
ON_DEMAND = frozenset({MOVE_MAILBOX})

_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def crontab(text: str) -> str:
    """Return `text` as five fields of crontab(5): numbers, lists, ranges, steps, `*`. Raises BadInput."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise BadInput("cron", "work-bad-cron", value=text)
    for field, (low, high) in zip(fields, _FIELDS, strict=True):
        expand(field, low, high)
    return text


def expand(field: str, low: int, high: int) -> frozenset[int]:
    """The numbers that one field of crontab(5) stands for; raise BadInput."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            begins = low if span == "*" else int(first)
            ends = high if span == "*" or (slash and not dash) else int(last) if dash else begins
            pace = int(step) if slash else 1
        except ValueError as error:
            raise BadInput("cron", "work-bad-cron", value=field) from error
        if not (low <= begins <= ends <= high and pace > 0):
            raise BadInput("cron", "work-bad-cron", value=field)
        found.update(range(begins, ends + 1, pace))
    return frozenset(found)


class Work(Fact):
    """What is to be done for the group again and again (`cron`, the controller's local time), or `once` at a time.

    `kind` names the part of the agent that does it, `parameters` are its own. `keep`: so many runs stay in the
    history. `patience`, seconds: a run that takes longer is given up by the agent.
    """

    group: CheckedGroupName
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    kind: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    cron: Annotated[str, AfterValidator(crontab)] | None = None
    once: datetime | None = None
    parameters: Mapping[str, str] = Field(default_factory=dict)
    keep: int = Field(default=20, ge=1, le=1000)
    patience: float = Field(default=3600.0, gt=0)


class RunState(StrEnum):
    """How far a run is."""

    ORDERED = "ordered"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    #: Its owner went away while it ran.
    LOST = "lost"


OVER = frozenset({RunState.DONE, RunState.FAILED, RunState.LOST})


class Run(Fact):
    """One run. `due` is the time for which it was ordered; `owner` and `session_epoch` say who began it.

    The agent begins it by a transaction guarded by the record's mod revision and by its session, so it runs once.
    `reason` is a message key that says why it did not end well, `detail` the last lines that its program printed.
    """

    group: CheckedGroupName
    work: str
    id: str
    kind: str
    due: datetime
    state: RunState = RunState.ORDERED
    parameters: Mapping[str, str] = Field(default_factory=dict)
    patience: float = Field(default=3600.0, gt=0)
    owner: CheckedNodeName | None = None
    session_epoch: int = 0
    began: datetime | None = None
    ended: datetime | None = None
    reason: str = ""
    exit_code: int | None = None
    detail: str = ""
