"""The other side: what an observer has seen of the sessions, and what it decides about a group, as pure functions.

`now` is always the observer's own CLOCK_BOOTTIME in seconds; no time that another node wrote is ever compared
with it. `decide` goes through a table from the harmless to the grave, and stops at the first row that fits:

    no record, or granted and never confirmed, or the owner came back       grant
    the owner is probed and renews                                          leave
    a fence was verified, and nothing was renewed for R and a little        take over
    a fence was verified                                                    wait for that
    the operator says that the node is off                                  take over
    a fence is there, and the owner is silent and not just reached again    order it, then verify it
    an armed watchdog was published and T + delta went by                   take over
    an armed watchdog was published                                         wait
    nothing of these                                                        ask the operator
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from appliance.cluster.model import Basis, OwnershipStage
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.cluster.timing import Timing
from appliance.ownership.decisions import (
    AskOperator,
    Decision,
    Leave,
    OrderFence,
    Reason,
    Take,
    VerifyFence,
    Wait,
)
from appliance.ownership.records import OwnerSeen, SessionSeen
from appliance.ownership.transactions import Move, grant, take_over

#: A node is silent when this many observers had no answer to their direct probes (every 0.5 s) for this long.
OBSERVERS = 2
SILENT_AFTER = Seconds(2.5)
#: A renewal is overdue when none was seen for R and this: a look at the store and its answer take some of it.
OVERDUE = Seconds(1.0)
#: A fence that was refused, or did not verify, is ordered again after this.
FENCE_AGAIN = Seconds(5.0)


def back_within(timing: Timing) -> Seconds:
    """A node that is reached again renews within this, or is ill: R, and a renewal that fails and is repeated."""
    return Seconds(timing.renew + 2 * timing.reply)


# --- what was seen ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sighting:
    """A node's session as it stands (both 0: there is none), and since when this observer has seen it so.

    `since` begins anew with every renewal, `epoch_since` with every session.
    """

    revision: int
    since: float
    epoch: int
    epoch_since: float

    def last_renewal(self, epoch: int) -> float:
        """The latest moment at which the session `epoch` may have been renewed, as far as this observer knows."""
        return self.since if self.epoch == epoch else self.epoch_since


Sightings = Mapping[NodeName, Sighting]


def observe(
    before: Sightings, sessions: Mapping[NodeName, SessionSeen], owners: Mapping[GroupName, OwnerSeen], now: float
) -> Sightings:
    """Note the sessions of one look at the store; `now` is read after its answer.

    Whatever changed (renewed, ended, opened anew, or seen for the first time) counts from now.
    """
    after = {}
    for node in {*before, *sessions, *(owner.record.node for owner in owners.values())}:
        session = sessions.get(node)
        revision, epoch = (session.revision, session.epoch) if session else (0, 0)
        known = before.get(node)
        if known is None or known.epoch != epoch:
            after[node] = Sighting(revision, now, epoch, now)
        elif known.revision != revision:
            after[node] = replace(known, revision=revision, since=now)
        else:
            after[node] = known
    return after


def silent(failing: Mapping[NodeName, float], now: float) -> bool:
    """Whether enough observers had no answer for long enough; `failing`: since when each has none."""
    return sum(now - since >= SILENT_AFTER for since in failing.values()) >= OBSERVERS


# --- fences -----------------------------------------------------------------------------------------------


class FenceKind(StrEnum):
    """What a fence cuts: the node's power, or the node's writes to one volume."""

    POWER = "power"
    STORAGE = "storage"


class FenceState(StrEnum):
    """How far a fence is. What an agent answers is noted and proves nothing; only a reading verifies.

    Even a reading may be of another plug: a session that is renewed after it shows that the fence MISSED its node.
    """

    ORDERED = "ordered"
    REFUSED = "refused"
    VERIFIED = "verified"
    MISSED = "missed"


@dataclass(frozen=True)
class Fence:
    """One fencing, and the very ownership against which it was ordered.

    `read_at`: when it was read as cut off. `standing`: the session's revision at the first look after that.
    """

    kind: FenceKind
    node: NodeName
    session_epoch: int
    group: GroupName
    owner_epoch: int
    state: FenceState
    at: float
    read_at: float = 0.0
    standing: int | None = None

    def covers(self, owner: OwnerSeen) -> bool:
        """Whether it is about this ownership: power off covers all of the session's groups, storage only its own."""
        record = owner.record
        if (self.node, self.session_epoch) != (record.node, record.session_epoch):
            return False
        return self.kind is FenceKind.POWER or (self.group, self.owner_epoch) == (record.group, owner.epoch)


def ordered(owner: OwnerSeen, kind: FenceKind, now: float, *, accepted: bool | None) -> Fence:
    """The agent was asked; `accepted` None: it did not answer in time, and may still do it."""
    record = owner.record
    state = FenceState.REFUSED if accepted is False else FenceState.ORDERED
    return Fence(kind, record.node, record.session_epoch, record.group, owner.epoch, state, now)


def verified(fence: Fence, cut_off: bool | None, now: float) -> Fence:
    """A reading taken after the order: the power is off, or the reservation is gone. None: it could not be read."""
    return replace(fence, state=FenceState.VERIFIED, read_at=now, standing=None) if cut_off else fence


def contradicted(fence: Fence, sighting: Sighting | None, read_at: float) -> Fence:
    """Hold a power fence that was verified against a look at the session, read at `read_at`.

    What is off renews nothing: whoever does so after the reading has power, and what read off was something else.
    A node that lost only its reservation renews on, and rightly.
    """
    if fence.kind is not FenceKind.POWER or fence.state is not FenceState.VERIFIED:
        return fence
    if sighting is None or sighting.epoch != fence.session_epoch or read_at < fence.read_at:
        return fence
    if fence.standing is None:
        return replace(fence, standing=sighting.revision)
    return fence if sighting.revision == fence.standing else replace(fence, state=FenceState.MISSED)


# --- deciding ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """All that is known about one group at one moment.

    `read_at` is when a quorum of the store answered last; a side without a quorum decides nothing, it does not
    even order a fence.
    `session` is that of the recorded owner, with its `sighting`; `read_at` is when the store answered.
    `others` are the further groups confirmed by the same session: they move along.
    `target` is the session that should own the group next. `acknowledged`: the epoch of the session
    about which the operator said that the node is off. `failing`: the observers without an answer from the owner;
    `reached`: since when there is none, or None.
    """

    group: GroupName
    read_at: float
    owner: OwnerSeen | None
    session: SessionSeen | None = None
    sighting: Sighting | None = None
    others: tuple[Move, ...] = ()
    target: SessionSeen | None = None
    failing: Mapping[NodeName, float] | None = None
    reached: float | None = None
    fence_kind: FenceKind | None = None
    fence: Fence | None = None
    acknowledged: int | None = None


def decide(case: Case, now: float, timing: Timing) -> Decision:
    """What to do about the group now; see the table above."""
    owner, target = case.owner, case.target
    if now - case.read_at > timing.reply:
        return Leave(Reason.VIEW_OLD, facts={"seconds": now - case.read_at})
    trouble = Reason.GROUP_UNOWNED if owner is None else _trouble(case, owner, now, timing)
    if trouble is None:
        return Leave(Reason.OWNER_HEALTHY)
    if target is None or (owner is not None and target.epoch == owner.record.session_epoch):
        return Leave(Reason.NO_TARGET)
    if owner is None:
        return _grant(case, target, 0, Reason.GROUP_UNOWNED, Basis.UNOWNED)
    return (
        _harmless(case, owner, target, now, timing)
        or _proven(case, owner, now, timing)
        or _fencing(case, owner, trouble, now, timing)
        or _waiting(case, owner, trouble, now, timing)
    )


def _grant(case: Case, target: SessionSeen, owner_epoch: int, reason: Reason, basis: Basis) -> Take:
    return Take(reason, grant(case.group, owner_epoch, target, basis), basis, facts={"epoch": owner_epoch})


def _harmless(case: Case, owner: OwnerSeen, target: SessionSeen, now: float, timing: Timing) -> Take | None:
    """The recorded owner cannot have it mounted: it never confirmed, or it came back and began with nothing.

    That it came back is what a copy of its virtual machine looks like, too. So with better proof, that is named: it
    lets the new owner clear the file system's own protection.
    """
    if owner.record.stage is OwnershipStage.GRANTED:
        return _grant(case, target, owner.epoch, Reason.NOT_CONFIRMED, owner.record.basis or Basis.UNCONFIRMED)
    if _restarted(owner, case.session):
        basis = Basis.RESTARTED
        if _cut_off(case, owner):
            basis = Basis.FENCED
        elif _silent_too(case, owner, now, timing):
            basis = Basis.WAITED
        return _grant(case, target, owner.epoch, Reason.OWNER_RESTARTED, basis)
    return None


def _trouble(case: Case, owner: OwnerSeen, now: float, timing: Timing) -> Reason | None:
    """Why the owner should be replaced, or None. D without a renewal: it has given the group up by itself.

    Once a fence has hit it there is no way back, unless what it renews shows that it hit something else.
    An owner that answers no probe is troubled where a fence can settle it, and only when a renewal is overdue as
    well: while its keeper renews, it is its agent that is ill, and cutting it off would cost what still serves.
    """
    session, sighting = case.session, case.sighting
    if _cut_off(case, owner):
        return Reason.FENCE_VERIFIED
    if session is None or sighting is None or session.epoch != owner.record.session_epoch:
        return Reason.SESSION_GONE
    if case.read_at - sighting.since >= timing.demote:
        return Reason.SESSION_UNRENEWED
    overdue = case.read_at - sighting.since >= timing.renew + OVERDUE
    if case.fence_kind is not None and overdue and silent(case.failing or {}, now):
        return Reason.OWNER_SILENT
    return None


def _cut_off(case: Case, owner: OwnerSeen) -> bool:
    return case.fence is not None and case.fence.covers(owner) and case.fence.state is FenceState.VERIFIED


def _restarted(owner: OwnerSeen, session: SessionSeen | None) -> bool:
    """The same machine has opened a later session: it began with nothing mounted. Another machine proves nothing."""
    if session is None or session.epoch <= owner.record.session_epoch:
        return False
    return bool(owner.record.machine_id) and session.record.machine_id == owner.record.machine_id


def _replaced(owner: OwnerSeen, session: SessionSeen | None) -> bool:
    """Another machine goes by the owner's name now: fencing that name would hit the wrong one."""
    return session is not None and session.epoch > owner.record.session_epoch


def _proven(case: Case, owner: OwnerSeen, now: float, timing: Timing) -> Take | Wait | None:
    """There is proof that the owner cannot write: a verified fence, the operator's word, or silence that passed."""
    if case.fence is not None and _cut_off(case, owner):
        certain = _contradiction_ends(case, owner, timing)
        if case.read_at < certain:
            return Wait(Reason.FENCE_UNCONTRADICTED, certain, facts={"now": now})
        others = case.others if case.fence.kind is FenceKind.POWER else ()
        return _take_over(case, owner, others, (Reason.FENCE_VERIFIED, Basis.FENCED), ordered=case.fence.at)
    if case.acknowledged == owner.record.session_epoch:
        return _take_over(case, owner, case.others, (Reason.OPERATOR_SAYS_OFF, Basis.ACKNOWLEDGED))
    until = silence_ends(case, owner, timing)
    if until is None or now < until:
        return None
    others = tuple(each for each in case.others if _silent_too(case, each.owner, now, timing))
    return _take_over(case, owner, others, (Reason.SILENCE_PASSED, Basis.WAITED), until=until, now=now)


def _contradiction_ends(case: Case, owner: OwnerSeen, timing: Timing) -> float:
    """Until when a living owner would have renewed its session, and shown that a power fence hit something else."""
    sighting = case.sighting
    if case.fence is None or case.fence.kind is not FenceKind.POWER:
        return float("-inf")
    if sighting is None or sighting.epoch != owner.record.session_epoch:
        return float("-inf")
    return sighting.since + timing.renew + OVERDUE


def _fencing(
    case: Case, owner: OwnerSeen, trouble: Reason, now: float, timing: Timing
) -> OrderFence | VerifyFence | Leave | None:
    """The next step of a fence, if there is one and it would hit the right machine."""
    fence = case.fence if case.fence is not None and case.fence.covers(owner) else None
    if case.fence_kind is None or _replaced(owner, case.session):
        return None
    if fence is not None and fence.state is FenceState.MISSED:
        return None
    if fence is None or now - fence.at >= FENCE_AGAIN:
        if case.reached is not None and now - case.reached < back_within(timing):
            return Leave(Reason.OWNER_REACHED_AGAIN)
        return OrderFence(trouble, owner.record.node)
    return VerifyFence(Reason.FENCE_UNVERIFIED, owner.record.node) if fence.state is FenceState.ORDERED else None


def _waiting(case: Case, owner: OwnerSeen, trouble: Reason, now: float, timing: Timing) -> Decision:
    until = silence_ends(case, owner, timing)
    if until is not None:
        return Wait(Reason.SILENCE_NOT_PASSED, until, facts={"now": now})
    if trouble is Reason.OWNER_SILENT:
        return Leave(trouble)
    return AskOperator(Reason.NO_FENCE_NO_WATCHDOG, owner.record.node)


def silence_ends(case: Case, owner: OwnerSeen, timing: Timing) -> float | None:
    """When the owner's watchdog has reset it for certain, by this observer's clock; None: it published no watchdog.

    T is the owner's own, as published: its watchdog runs by its timing, not by ours.
    """
    silence = owner.record.silence
    if silence is None or case.sighting is None:
        return None
    return case.sighting.last_renewal(owner.record.session_epoch) + silence + timing.margin


def _silent_too(case: Case, owner: OwnerSeen, now: float, timing: Timing) -> bool:
    until = silence_ends(case, owner, timing)
    return until is not None and now >= until


def _take_over(
    case: Case, owner: OwnerSeen, others: tuple[Move, ...], proof: tuple[Reason, Basis], **facts: float
) -> Take:
    reason, basis = proof
    revision = case.sighting.revision if case.sighting is not None else 0
    ends = None if _replaced(owner, case.session) else revision
    moves = (Move(owner, case.target), *others)
    return Take(reason, take_over(owner.record.node, ends, moves, basis), basis, facts=facts)
