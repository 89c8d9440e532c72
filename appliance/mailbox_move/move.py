"""The move of one mailbox, step by step, on the node that owns its group. The target may be on another (`Target`).

| step | the mailbox meanwhile | cut off here |
| --- | --- | --- |
| copy, again until little is left | in use where it was | a copy that the next run completes |
| hold: a mark in the directory | logins and deliveries are put off | the agent takes the mark away |
| rest, last copy, compared | put off | likewise |
| switch: the group, if the mark still stands | put off by the target | the target's agent takes the mark away |
| mark away once a second server has the switch | served by the target | the agent clears away what is left |
| old copy removed | served by the target | likewise |
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from appliance import paths
from appliance.cluster.names import GroupName, Seconds
from appliance.directory.mailboxes import Mailboxes
from appliance.directory.model import Mailbox
from appliance.directory.purge import remove_home
from appliance.errors import NotFound, PosthouseError, Unavailable
from appliance.mailbox_move import leftovers, locks, mirror, rest
from appliance.migration.mail import workplace

_DAY: Final = Seconds(86_400.0)
#: A copy that took so long (seconds) leaves little for the last one, during which the mailbox is held.
_SHORT: Final = 2.0
_MOST_COPIES: Final = 5
#: So long clients may be put off at most; then the mailbox stays where it was.
_HOLD: Final = Seconds(30.0)
_PATIENCE: Final = Seconds(15.0)


@dataclass(frozen=True)
class Moved:
    """What a move came to. `held`, seconds: so long logins and deliveries were put off. None: that was not told."""

    address: str
    source: str
    target: str
    copies: int | None
    held: float | None


class Target(ABC):
    """The group that a mailbox goes to, `group`, and the way there. Everything raises PosthouseError."""

    group: GroupName

    @abstractmethod
    def require(self) -> None:
        """Raise Unavailable unless the mailbox would be taken in now."""

    @abstractmethod
    def copy(self, source: Path, deadline: Seconds, lock: int, *, at_rest: bool) -> None:
        """Make the home there like `source`; what it holds at the end is on disk. Unless `source` is `at_rest`, what
        changes meanwhile may be left out."""

    @abstractmethod
    def differences(self, source: Path, deadline: Seconds, lock: int) -> list[str]:
        """What `copy` would still have to do, a line each."""

    @abstractmethod
    def await_served(self, patience: Seconds) -> None:
        """Wait until the mailbox is served there, where that can be told from here."""


def move(mailboxes: Mailboxes, mailbox: Mailbox, target: Target, say: Callable[[str], None]) -> Moved:
    """Move the mailbox from its group, which is here; `say` is told each step's message key.

    Raises Unavailable (a group cannot be had, the mailbox does not come to rest, another move is at it),
    ChangedMeanwhile; then the mailbox is where it was, and may be used.
    """
    with _alone(mailbox) as lock:
        if mailbox.group == target.group:
            mailboxes.confirm_group(mailbox, target.group)
            clear_away(mailbox, say)
            return Moved(mailbox.address, target.group, target.group, 0, 0.0)
        source = GroupName(mailbox.group)
        require_here(source)
        target.require()
        old = paths.volume(source) / mailbox.path
        leftovers.note(source, mailbox)
        copies = _copy_in_use(old, target, lock, say)
        held, safe = _hand_over(mailboxes, mailbox, target, lock, say)
        # not what a copy of the directory says, which may be behind: what was just written
        if safe:  # else the write may get lost with its server: the agent looks again later
            clear_away(replace(mailbox, group=target.group), say)
        return Moved(mailbox.address, source, target.group, copies, held)


def let_go_abandoned(mailboxes: Mailboxes, group: GroupName) -> list[Mailbox]:
    """End the holds of a group's mailboxes at which no move is at work any more; return those."""
    found = []
    for mailbox in list(mailboxes.held(group)):
        with suppress(Unavailable), _alone(mailbox):
            if mailbox.moving_to == mailbox.group:  # switched already, perhaps on the writer alone
                mailboxes.confirm_group(mailbox, mailbox.group)
                if not mailboxes.replicated():
                    continue
            mailboxes.let_go(mailbox)
            found.append(mailbox)
    return found


def clear_abandoned(mailboxes: Mailboxes, group: GroupName) -> list[Mailbox]:
    """Remove the homes that moves left behind in a group which were cut off after the switch; return those."""
    found = []
    for mailbox_id, address in leftovers.noted(group):
        mailbox = mailboxes.find_id(mailbox_id, address)
        if mailbox is None:
            continue  # whose home it is, nobody can say
        with suppress(Unavailable), _alone(mailbox):
            old = paths.volume(group) / mailbox.path
            if mailbox.group != group and mirror.is_complete(old):
                clear_away(mailbox, lambda _: None)
                found.append(mailbox)
            elif mailbox.moving_to is None:
                leftovers.forget(group, mailbox)
    return found


def _copy_in_use(old: Path, target: Target, lock: int, say: Callable[[str], None]) -> int:
    """Copy until a copy was quick; how many it took."""
    copies, took = 0, math.inf
    while took > _SHORT and copies < _MOST_COPIES:
        say("move-copying")
        begun = time.monotonic()
        if old.is_dir():
            target.copy(old, _DAY, lock, at_rest=False)
        copies, took = copies + 1, time.monotonic() - begun
    return copies


def _hand_over(
    mailboxes: Mailboxes, mailbox: Mailbox, target: Target, lock: int, say: Callable[[str], None]
) -> tuple[float, bool]:
    """Hold, copy the rest, switch; how long it was held (seconds), and whether the switch outlives the directory's
    writer. Whatever fails, the hold ends."""
    source = GroupName(mailbox.group)
    old = paths.volume(source) / mailbox.path
    say("move-holding")
    begun = time.monotonic()
    mailboxes.hold(mailbox, target.group)
    try:
        rest.await_held(mailbox, _PATIENCE)
        rest.await_rest(mailbox, old, _PATIENCE)
        if old.is_dir():
            target.copy(old, _HOLD, lock, at_rest=True)
            if target.differences(old, _HOLD, lock):
                raise Unavailable("move-no-rest", address=mailbox.address)
            mirror.note_complete(old)
        require_here(source)
        mailboxes.move(mailbox, target.group)
        # what the target takes in must not be forgotten with a writer that alone knows where the mailbox is
        safe = mailboxes.replicated()
        mailboxes.let_go(mailbox)
    except BaseException:
        with suppress(NotFound):
            mailboxes.let_go(mailbox)
        with suppress(PosthouseError):
            rest.forget(source, mailbox)
        raise
    with suppress(PosthouseError):  # the agents have caches forget as well
        rest.forget(source, mailbox)
        target.await_served(_PATIENCE)
    return time.monotonic() - begun, safe


def clear_away(mailbox: Mailbox, say: Callable[[str], None]) -> None:
    """Remove what other groups here have of a mailbox that is not theirs any more."""
    for group in paths.groups_here():
        old = paths.volume(group) / mailbox.path
        if group != mailbox.group and old.is_dir():
            say("move-clearing")
            _require_there(mailbox)
            if late := mirror.changed_after_completion(old):
                raise PosthouseError("move-late", path=str(late))
            remove_home(paths.volume(group), mailbox)
            leftovers.forget(group, mailbox)


def _require_there(mailbox: Mailbox) -> None:
    """Raise Unavailable when the mailbox's group is here and has nothing of it. Elsewhere the comparison before the
    switch said so."""
    group = GroupName(mailbox.group)
    new = paths.volume(group) / mailbox.path
    if group in paths.groups_here() and not new.is_dir():
        raise Unavailable("move-nothing-there", path=str(new))


def require_here(group: GroupName) -> None:
    """Raise Unavailable unless this node owns the group and its volume has mailboxes."""
    if not paths.owned_marker(group).exists() or not (paths.volume(group) / "mailboxes").is_dir():
        raise Unavailable("move-group-not-there", group=group)


@contextmanager
def _alone(mailbox: Mailbox) -> Iterator[int]:
    """Keep a second move, and a migration, off the mailbox; the open lock. Raises Unavailable."""
    with ExitStack() as stack:
        lock = stack.enter_context(locks.held(mailbox.id, mailbox.address))
        brought = workplace.root(GroupName(mailbox.group)) / mailbox.id
        if brought.is_dir():
            stack.enter_context(workplace.locked(brought, mailbox.address))
        yield lock
