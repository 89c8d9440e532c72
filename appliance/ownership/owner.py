"""The owner's side: what a keeper knows, and every step it takes, as pure functions.

`now` is always the node's own CLOCK_BOOTTIME in seconds, read immediately before the call. A function returns
the state after the step and the decisions to carry out, in order. The moves of one group on this node:

    -         -> GRANTED    the record names this node and its session
    GRANTED   -> PREPARED   watchdog armed, storage key registered
    PREPARED  -> CONFIRMED  both published by a guarded transaction; only now it may be mounted
    CONFIRMED -> STOPPING   a move is wanted
    STOPPING  -> STOPPED    unmounted; handed over by a transaction
    any       -> DROPPING   D passed, the session was taken, the record names somebody else, or a stop hangs
    DROPPING  -> -          nothing of it runs here any more
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from appliance.cluster.model import Basis, Ownership, OwnershipStage, Session
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.cluster.timing import FenceMode, Timing
from appliance.coordination.store import Outcome
from appliance.ownership.decisions import (
    Clean,
    Decision,
    DisarmWatchdog,
    Drop,
    Mount,
    Note,
    PetWatchdog,
    Prepare,
    Reason,
    Stop,
)
from appliance.ownership.records import OwnerSeen, SessionSeen
from appliance.ownership.transactions import (
    Transaction,
    close_session,
    confirm,
    give_up,
    hand_over,
    open_session,
    renew_session,
)


@dataclass(frozen=True)
class Identity:
    """What does not change while a keeper runs.

    `watchdog`: this machine has one that goes on counting while the machine is stopped. The watchdog of a virtual
    machine does not: pausing the machine pauses it.
    """

    node: NodeName
    boot_id: str
    machine_id: str
    timing: Timing
    mode: FenceMode
    watchdog: bool

    def __post_init__(self) -> None:
        self.timing.check_for(self.mode)

    @property
    def silence(self) -> Seconds | None:
        """What is published as proof of being off: T, if a watchdog that counts is what the timing was checked for."""
        return self.timing.takeover if self.watchdog and self.mode is FenceMode.WATCHDOG else None


class Stage(StrEnum):
    """How far a group is on this node."""

    GRANTED = "granted"
    PREPARED = "prepared"
    CONFIRMED = "confirmed"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DROPPING = "dropping"


@dataclass(frozen=True)
class Holding:
    """A group here. `epoch`: the ownership record's mod revision, which was `granted` when this node was named.

    `preempts`: its volume has a storage fence.
    `outlives`: the operator lets it outlive the store, because a new owner's preemption ends every write from here.
    """

    stage: Stage
    epoch: int
    granted: int = 0
    basis: Basis | None = None
    preempts: bool = False
    outlives: bool = False


@dataclass(frozen=True)
class Flight:
    """A renewal on its way; `sent` was read before it was handed to the network."""

    sent: float


@dataclass(frozen=True)
class Owner:
    """What a keeper knows. `renewed` is t0: when the last good renewal was sent."""

    clean: bool = False
    epoch: int | None = None
    sequence: int = 0
    flight: Flight | None = None
    renewed: float | None = None
    armed: float | None = None
    holdings: Mapping[GroupName, Holding] = field(default_factory=dict)

    def with_holding(self, group: GroupName, holding: Holding | None) -> Owner:
        """The state with one group's holding replaced, or gone."""
        others = {name: each for name, each in self.holdings.items() if name != group}
        return replace(self, holdings=others if holding is None else {**others, group: holding})


Step = tuple[Owner, tuple[Decision, ...]]


# --- the deadline -----------------------------------------------------------------------------------------


def begin() -> Step:
    """A keeper starts, perhaps after another one died: nothing is known of what still runs."""
    return Owner(), (Clean(Reason.KEEPER_BEGAN),)


def cleaned(state: Owner) -> Owner:
    """Nothing of any shared group runs or is mounted here, and no storage key of this node is registered."""
    return replace(state, clean=True)


def deadline(state: Owner, me: Identity) -> float | None:
    """t0 + D, or None while no session was renewed."""
    return None if state.renewed is None else state.renewed + me.timing.demote


def tick(state: Owner, now: float, me: Identity) -> Step:
    """To be called whenever the keeper wakes, and at the deadline at the latest."""
    ends = deadline(state, me)
    if ends is None or now < ends:
        return state, ()
    facts = {"renewed": state.renewed or 0.0, "now": now, "deadline": ends}
    return _drop(state, _bound(state), Reason.DEADLINE_PASSED, **facts)


def patience(state: Owner, now: float, me: Identity) -> Seconds:
    """How long a call or a pause may take at most: r, or less where the deadline comes first."""
    ends = deadline(state, me)
    if ends is None or now >= ends:
        return me.timing.reply
    return Seconds(min(me.timing.reply, ends - now))


def _bound(state: Owner) -> list[GroupName]:
    return [name for name, holding in state.holdings.items() if not holding.outlives]


def _drop(state: Owner, groups: list[GroupName], reason: Reason, **facts: float) -> Step:
    decisions: list[Decision] = []
    for group in groups:
        holding = state.holdings[group]
        if holding.stage is not Stage.DROPPING:
            state = state.with_holding(group, replace(holding, stage=Stage.DROPPING))
            decisions.append(Drop(reason, group, facts=facts))
    return state, tuple(decisions)


def key_lost(state: Owner, group: GroupName) -> Step:
    """The volume takes this node's writes no longer: a fence hit it. If the record still names it, it begins anew."""
    holding = state.holdings.get(group)
    if holding is None or not holding.preempts or holding.stage is not Stage.CONFIRMED:
        return state, ()
    return _drop(state, [group], Reason.STORAGE_KEY_LOST)


def dropped(state: Owner, group: GroupName) -> Step:
    """Nothing of the group runs or is mounted here any more, and its storage key is taken back."""
    return _disarm(state.with_holding(group, None))


def _disarm(state: Owner) -> Step:
    if _bound(state) or state.armed is None:
        return state, ()
    return replace(state, armed=None), (DisarmWatchdog(Reason.NOTHING_HELD),)


# --- the session ------------------------------------------------------------------------------------------


def opening(state: Owner, seen: SessionSeen | None, now: float, me: Identity) -> tuple[Owner, Transaction] | None:
    """How to open a session: first end the one left by a former keeper. None while anything may still run here.

    A new session tells everybody that the node has nothing mounted.
    """
    if not state.clean or state.holdings:
        return None
    if seen is not None:
        return state, close_session(me.node, seen.revision)
    return replace(state, sequence=0, flight=Flight(now)), open_session(_session(state, me))


def renewal(state: Owner, now: float, me: Identity) -> tuple[Owner, Transaction]:
    """The next renewal; `now` is t0 if it goes well."""
    epoch = state.epoch
    assert epoch is not None
    state = replace(state, sequence=state.sequence + 1, flight=Flight(now))
    return state, renew_session(_session(state, me), epoch)


def _session(state: Owner, me: Identity) -> Session:
    return Session(node=me.node, boot_id=me.boot_id, machine_id=me.machine_id, sequence=state.sequence)


def answered(state: Owner, outcome: Outcome | None, now: float, me: Identity) -> Step:
    """The renewal (or opening) in flight ended; `outcome` is None when no answer came."""
    flight = state.flight
    state = replace(state, flight=None)
    if flight is None or outcome is None:
        return state, (Note(Reason.REPLY_MISSING),)
    if not outcome.succeeded:
        return _session_taken(state, outcome)
    if state.epoch is None:
        state = replace(state, epoch=outcome.revision)
    late = now - flight.sent > me.timing.reply
    if late:
        return state, (Note(Reason.REPLY_LATE, facts={"took": now - flight.sent}),)
    state, drops = tick(state, now, me)
    state = replace(state, renewed=flight.sent)
    if state.armed is None or any(holding.stage is Stage.DROPPING for holding in state.holdings.values()):
        return state, drops  # a drop that hangs is the watchdog's to end
    return state, (*drops, PetWatchdog(Reason.SESSION_RENEWED, facts={"sent": flight.sent, "now": now}))


def _session_taken(state: Owner, outcome: Outcome) -> Step:
    state = replace(state, epoch=None, renewed=None)
    return _drop(state, list(state.holdings), Reason.SESSION_TAKEN, revision=outcome.revision)


# --- taking a group ---------------------------------------------------------------------------------------


def seen(
    state: Owner,
    owners: Mapping[GroupName, OwnerSeen | None],
    me: Identity,
    *,
    preempts: frozenset[GroupName] = frozenset(),
    outlives: frozenset[GroupName] = frozenset(),
) -> Step:
    """Compare the ownership records of shared groups with what is held; None: a record that cannot be read.

    What cannot be read is neither taken nor given up.
    `preempts`: groups whose volume has a storage fence; `outlives`: those of them that may outlive the store.
    """
    decisions: list[Decision] = []
    lost = [name for name, holding in state.holdings.items() if _lost(owners, name, holding)]
    state, drops = _drop(state, lost, Reason.RECORD_CHANGED)
    decisions += drops
    for group, owner in owners.items():
        if owner is None or not state.clean or group in state.holdings:
            continue
        if owner.record.node != me.node or owner.record.session_epoch != state.epoch:
            continue
        fenced = group in preempts
        holding = Holding(
            Stage.GRANTED, owner.epoch, owner.epoch, owner.record.basis, fenced, fenced and group in outlives
        )
        state = state.with_holding(group, holding)
        decisions.append(Prepare(Reason.RECORD_NAMES_THIS_NODE, group, owner.epoch))
    return state, tuple(decisions)


def _lost(owners: Mapping[GroupName, OwnerSeen | None], group: GroupName, holding: Holding) -> bool:
    if group not in owners:
        return True
    owner = owners[group]
    return owner is not None and owner.epoch > holding.epoch


def prepared(state: Owner, group: GroupName, now: float, me: Identity, *, timeout: float | None = None) -> Step:
    """The storage key is registered and the watchdog armed; `timeout` is what the watchdog says of itself, seconds."""
    holding = state.holdings.get(group)
    if holding is None or holding.stage is not Stage.GRANTED:
        return state, ()
    if me.watchdog and not holding.outlives:
        if timeout is None or timeout > me.timing.watchdog:
            return _drop(state, [group], Reason.WATCHDOG_TOO_SLOW, timeout=timeout or 0.0)
        state = replace(state, armed=now if state.armed is None else state.armed)
    return state.with_holding(group, replace(holding, stage=Stage.PREPARED)), ()


def confirmation(state: Owner, group: GroupName, now: float, me: Identity) -> Transaction | Note:
    """Publish that the group is prepared; or why that must wait for the next renewal."""
    holding = state.holdings[group]
    ends = deadline(state, me)
    if holding.stage is not Stage.PREPARED or state.epoch is None or ends is None or now >= ends:
        return Note(Reason.DEADLINE_PASSED)
    if state.armed is not None and state.renewed is not None and state.renewed < state.armed:
        return Note(Reason.RENEWAL_OLDER_THAN_WATCHDOG)
    record = Ownership(
        group=group,
        node=me.node,
        session_epoch=state.epoch,
        stage=OwnershipStage.CONFIRMED,
        basis=holding.basis,
        silence=None if holding.outlives else me.silence,
        storage_key=f"{me.node}:{holding.granted}" if holding.preempts else None,
        machine_id=me.machine_id,
    )
    return confirm(record, holding.epoch)


#: After these the former owner's unclean mount is known to be dead, so its protection may be cleared. A machine that
#: came back is none of them: the former owner may be the living original of a copy. There the file system waits itself.
_MAY_CLEAR_MMP = {Basis.FENCED, Basis.WAITED}


def confirmed(state: Owner, group: GroupName, outcome: Outcome | None, now: float, me: Identity) -> Step:
    """The confirmation ended. Without an answer it may have happened: the group is let go, and seen again if so."""
    holding = state.holdings.get(group)
    if holding is None or holding.stage is not Stage.PREPARED:
        return state, ()
    if outcome is None:
        return _drop(state, [group], Reason.CONFIRMATION_UNANSWERED)
    if not outcome.succeeded:
        return _drop(state, [group], Reason.CONFIRMATION_REFUSED)
    state = state.with_holding(group, replace(holding, stage=Stage.CONFIRMED, epoch=outcome.revision))
    ends = deadline(state, me)
    if ends is None or now >= ends:
        return _drop(state, [group], Reason.DEADLINE_PASSED, now=now)
    clear = holding.basis in _MAY_CLEAR_MMP
    below = holding.granted if holding.preempts else None
    return state, (Mount(Reason.CONFIRMED, group, below, clear, facts={"epoch": outcome.revision}),)


# --- giving a group away ----------------------------------------------------------------------------------


def move(state: Owner, group: GroupName) -> Step:
    """The group is wanted elsewhere: stop it in order."""
    holding = state.holdings.get(group)
    if holding is None or holding.stage is not Stage.CONFIRMED:
        return state, ()
    return state.with_holding(group, replace(holding, stage=Stage.STOPPING)), (Stop(Reason.MOVE_WANTED, group),)


def stop_hangs(state: Owner, group: GroupName) -> Step:
    """A stop does not come to its end: where a watchdog is armed, the group is dropped, and the watchdog ends a drop
    that hangs. Without one nothing would be won: the stop goes on, and whoever leads fences this node or asks for it.
    """
    holding = state.holdings.get(group)
    if holding is None or holding.stage is not Stage.STOPPING or state.armed is None:
        return state, ()
    return _drop(state, [group], Reason.STOP_HANGS)


def stopped(state: Owner, group: GroupName) -> Owner:
    """The group's services ended, its volume is unmounted and its storage key taken back."""
    holding = state.holdings.get(group)
    if holding is None or holding.stage is not Stage.STOPPING:
        return state
    return state.with_holding(group, replace(holding, stage=Stage.STOPPED))


def handing_over(state: Owner, group: GroupName, to: SessionSeen | None, me: Identity) -> Transaction | None:
    """The transaction that gives a stopped group away; None while it is not stopped. `to` None: to nobody."""
    holding = state.holdings.get(group)
    if holding is None or holding.stage is not Stage.STOPPED or state.epoch is None:
        return None
    if to is None:
        return give_up(me.node, state.epoch, group, holding.epoch)
    return hand_over(me.node, state.epoch, group, holding.epoch, to)


def handed_over(state: Owner, group: GroupName, outcome: Outcome | None) -> Step:
    """The hand-over ended. Refused (the receiver's session ended, or the record changed) or unanswered: let go.

    The records seen next tell what became of it; if they still name this node, it takes the group again.
    """
    holding = state.holdings.get(group)
    if holding is None or holding.stage is not Stage.STOPPED:
        return state, ()
    facts = {"answered": outcome is not None, "succeeded": outcome is not None and outcome.succeeded}
    state, decisions = _disarm(state.with_holding(group, None))
    return state, (Note(Reason.MOVE_WANTED, facts=facts), *decisions)
