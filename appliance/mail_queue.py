"""The queue of a group that this node owns, by Postfix's own programs: postqueue(1), postcat(1), postsuper(1)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from appliance import paths
from appliance.cluster.names import EngineName, GroupName, InstanceId, Seconds
from appliance.errors import BadInput, NotFound, PosthouseError, Unavailable
from appliance.operations.where import not_here

#: Every message at once (postsuper(1)).
ALL = "ALL"
_POSTFIX = EngineName("postfix")
_DEADLINE = Seconds(120.0)
#: Long and short queue ids (postconf(5), enable_long_queue_ids).
_ID = re.compile(r"[0-9A-Za-z]{6,32}")
_COUNT = re.compile(r": (?:Deleted|Placed on hold|Released from hold): (\d+) messages?$", re.MULTILINE)


class Recipient(BaseModel):
    """An address that a message still waits for; `delay_reason`: what the last attempt came to, if there was one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: str
    delay_reason: str | None = None


class Queued(BaseModel):
    """A message in the queue, as `postqueue -j` tells it. `message_size` in bytes; an empty sender is a bounce."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    queue_id: str
    queue_name: str
    arrival_time: datetime
    message_size: int
    sender: str
    recipients: tuple[Recipient, ...]


class Change(StrEnum):
    """What can be done to messages, by the option of postsuper(1)."""

    DELETE = "-d"
    HOLD = "-h"
    RELEASE = "-H"


def read(lines: Sequence[str]) -> Iterator[Queued]:
    """The messages in the output of `postqueue -j`, one JSON object a line. Pure."""
    for line in lines:
        told = json.loads(line)
        told["arrival_time"] = datetime.fromtimestamp(told["arrival_time"], UTC)
        told["sender"] = "" if told["sender"] == "MAILER-DAEMON" else told["sender"]
        yield Queued.model_validate(told)


def messages(group: GroupName) -> Iterator[Queued]:
    """Every message, in the queue's own order. Raises Unavailable, PosthouseError."""
    # not splitlines: JSON strings may hold U+2028
    return read([line for line in _run(group, "postqueue", "-j").split("\n") if line])


def find(group: GroupName, queue_id: str) -> Queued:
    """One message. Raises BadInput, NotFound, Unavailable."""
    _checked(queue_id)
    for message in messages(group):
        if message.queue_id == queue_id:
            return message
    raise NotFound("queue-unknown", id=queue_id)


def text(group: GroupName, queue_id: str, *, whole: bool) -> str:
    """The message's head, or all of it. Raises BadInput, PosthouseError, Unavailable."""
    _checked(queue_id)
    parts = ("-h", "-b") if whole else ("-h",)
    return _run(group, "postcat", *parts, "-q", queue_id)


def flush(group: GroupName, queue_id: str | None = None) -> None:
    """Try to deliver now: one message, or all that wait. Raises BadInput, NotFound, Unavailable."""
    if queue_id is None:
        _run(group, "postqueue", "-f")
        return
    find(group, queue_id)
    _run(group, "postqueue", "-i", queue_id)


def change(group: GroupName, kind: Change, ids: Sequence[str]) -> int:
    """Delete, hold or release messages; returns how many. Raises BadInput, NotFound (none of them is there any more),
    Unavailable."""
    for each in ids:
        _checked(each)
    if list(ids) == [ALL]:
        done = _run(group, "postsuper", kind.value, ALL, said=True)
    else:
        done = _run(group, "postsuper", kind.value, "-", said=True, given="".join(f"{each}\n" for each in ids))
    counted = _COUNT.search(done)
    count = int(counted[1]) if counted else 0
    if count == 0 and list(ids) != [ALL]:
        raise NotFound("queue-unknown", id=", ".join(ids))
    return count


def _checked(queue_id: str) -> None:
    if queue_id != ALL and not _ID.fullmatch(queue_id):
        raise BadInput("id", "queue-bad-id", value=queue_id)


def _run(group: GroupName, program: str, *words: str, given: str = "", said: bool = False) -> str:
    """Run one of Postfix's programs on the instance; return its output, or what it said on standard error."""
    if not paths.owned_marker(group).exists():
        raise not_here("queue-not-here", group)
    try:
        done = subprocess.run(
            [program, "-c", str(paths.config(InstanceId(_POSTFIX, group))), *words],
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable("queue-failed", program=program, detail=f"> {_DEADLINE:.0f} s") from error
    if done.returncode != 0:
        raise PosthouseError("queue-failed", program=program, detail=done.stderr.strip()[-300:])
    return done.stderr if said else done.stdout
