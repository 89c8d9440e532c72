"""The move of one mailbox, step by step. Called by `posthouse mailbox move` on the node that has both groups.

| step | the mailbox meanwhile | cut off here |
| --- | --- | --- |
| copy, again until little is left | in use where it was | a copy that the next run completes |
| hold: a mark in the directory | logins and deliveries are put off | the agent takes the mark away |
| rest, last copy, compared | put off | likewise |
| switch: group and mark in one write | served by the target | what is left is cleared away by the next run |
| old copy removed | served by the target | likewise |
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from appliance import mail_queue, paths
from appliance.cluster.names import GroupName, Seconds
from appliance.directory.mailboxes import Mailboxes
from appliance.directory.model import Mailbox
from appliance.directory.purge import remove_home
from appliance.errors import NotFound, PosthouseError, Unavailable
from appliance.mailbox_move import mirror, rest
from appliance.migration.mail import workplace
from appliance.operations.where import not_here

_LOCKS: Final = paths.RUN / "moving"
_DAY: Final = Seconds(86_400.0)
#: A copy that took so long (seconds) leaves little for the last one, during which the mailbox is held.
_SHORT: Final = 2.0
_MOST_COPIES: Final = 5
#: So long clients may be put off at most; then the mailbox stays where it was.
_HOLD: Final = Seconds(30.0)
_PATIENCE: Final = Seconds(15.0)
#: How often the queues are looked at, in seconds, and how many looks have to find nothing.
_LOOK: Final = 0.7
_CLEAN: Final = 2


@dataclass(frozen=True)
class Moved:
    """What a move came to. `held`, seconds: so long logins and deliveries were put off."""

    address: str
    source: str
    target: str
    copies: int
    held: float


def move(mailboxes: Mailboxes, mailbox: Mailbox, target: GroupName, say: Callable[[str], None]) -> Moved:
    """Move the mailbox; `say` is told each step's message key.

    Raises Unavailable (a group is not here, the mailbox does not come to rest, another move is at it),
    ChangedMeanwhile; then the mailbox is where it was, and may be used.
    """
    with _alone(mailbox) as lock:
        if mailbox.group == target:
            mailboxes.confirm_group(mailbox, target)
            _clear_away(mailbox, say)
            return Moved(mailbox.address, target, target, 0, 0.0)
        source = GroupName(mailbox.group)
        for group in (source, target):
            _require_here(group)
        old, new = (paths.volume(group) / mailbox.path for group in (source, target))
        copies = _copy_in_use(old, new, lock, say)
        held = _hand_over(mailboxes, mailbox, target, lock, say)
        # not what a copy of the directory says, which may be behind: what was just written
        _clear_away(replace(mailbox, group=target), say)
        _deliver_now(mailbox.address)
        return Moved(mailbox.address, source, target, copies, held)


def let_go_abandoned(mailboxes: Mailboxes, group: GroupName) -> list[Mailbox]:
    """End the holds of a group's mailboxes at which no move is at work any more; return those."""
    found = []
    for mailbox in list(mailboxes.held(group)):
        with suppress(Unavailable), _alone(mailbox):
            mailboxes.let_go(mailbox)
            found.append(mailbox)
    return found


def _copy_in_use(old: Path, new: Path, lock: int, say: Callable[[str], None]) -> int:
    """Copy until a copy was quick; how many it took."""
    copies, took = 0, math.inf
    while took > _SHORT and copies < _MOST_COPIES:
        say("move-copying")
        begun = time.monotonic()
        if old.is_dir():
            mirror.copy(old, new, _DAY, lock)
        copies, took = copies + 1, time.monotonic() - begun
    return copies


def _hand_over(
    mailboxes: Mailboxes, mailbox: Mailbox, target: GroupName, lock: int, say: Callable[[str], None]
) -> float:
    """Hold, copy the rest, switch; how long it was held (seconds). Whatever fails, the hold ends."""
    old, new = (paths.volume(group) / mailbox.path for group in (GroupName(mailbox.group), target))
    say("move-holding")
    begun = time.monotonic()
    mailboxes.hold(mailbox, target)
    try:
        rest.await_held(mailbox, _PATIENCE)
        rest.await_rest(mailbox, old, _PATIENCE)
        if old.is_dir():
            mirror.copy(old, new, _HOLD, lock)
            if mirror.differences(old, new, _HOLD, lock):
                raise Unavailable("move-no-rest", address=mailbox.address)
            mirror.note_complete(old)
        for group in (GroupName(mailbox.group), target):
            _require_here(group)
        mailboxes.move(mailbox, target)
    except BaseException:
        with suppress(NotFound):
            mailboxes.let_go(mailbox)
        with suppress(PosthouseError):
            rest.forget(GroupName(mailbox.group), mailbox)
        raise
    with suppress(PosthouseError):  # the agent has caches forget as well
        rest.forget(GroupName(mailbox.group), mailbox)
        rest.await_served(target, mailbox, _PATIENCE)
    return time.monotonic() - begun


def _clear_away(mailbox: Mailbox, say: Callable[[str], None]) -> None:
    """Remove what other groups here have of a mailbox that is not theirs any more."""
    new = paths.volume(GroupName(mailbox.group)) / mailbox.path
    for group in paths.groups_here():
        old = paths.volume(group) / mailbox.path
        if group != mailbox.group and old.is_dir():
            say("move-clearing")
            _require_here(GroupName(mailbox.group))
            if not new.is_dir():
                raise Unavailable("move-nothing-there", path=str(new))
            if late := mirror.changed_after_completion(old):
                raise PosthouseError("move-late", path=str(late))
            remove_home(paths.volume(group), mailbox)


def _require_here(group: GroupName) -> None:
    """Raise Unavailable unless this node owns the group and its volume has mailboxes."""
    if not paths.owned_marker(group).exists() or not (paths.volume(group) / "mailboxes").is_dir():
        raise not_here("move-group-not-here", group)


def _deliver_now(address: str) -> None:
    """Try what waited for the mailbox during the hold, in the queue of any group here; a failure costs minutes, no
    mail. Mail that was on its way when the mailbox went is put off a moment later, so it is looked for until none is
    there at two looks."""
    clean, until = 0, time.monotonic() + _PATIENCE
    while clean < _CLEAN and time.monotonic() < until:
        found = [each for group in paths.groups_here() for each in _waiting(group, address)]
        clean = 0 if found else clean + 1
        for group, queue_id in found:
            with suppress(PosthouseError):
                mail_queue.flush(group, queue_id)
        time.sleep(_LOOK)


def _waiting(group: GroupName, address: str) -> list[tuple[GroupName, str]]:
    with suppress(PosthouseError):
        return [
            (group, message.queue_id)
            for message in mail_queue.messages(group)
            if any(recipient.address.lower() == address for recipient in message.recipients)
        ]
    return []


@contextmanager
def _alone(mailbox: Mailbox) -> Iterator[int]:
    """Keep a second move, and a migration, off the mailbox; the open lock. Raises Unavailable."""
    _LOCKS.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(_LOCKS / mailbox.id, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with ExitStack() as stack:
            brought = workplace.root(GroupName(mailbox.group)) / mailbox.id
            if brought.is_dir():
                stack.enter_context(workplace.locked(brought, mailbox.address))
            yield lock
    except BlockingIOError:
        raise Unavailable("move-busy", address=mailbox.address) from None
    finally:
        os.close(lock)
