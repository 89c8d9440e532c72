"""What the protocol decides, as data: each decision carries its reason and the facts, ready for a decision log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.cluster.model import Basis
from appliance.cluster.names import GroupName, NodeName
from appliance.ownership.transactions import Transaction


class Reason(StrEnum):
    """Why something was decided. The values are stable: they stand in logs."""

    # the owner
    KEEPER_BEGAN = "keeper_began"
    DEADLINE_PASSED = "deadline_passed"
    SESSION_TAKEN = "session_taken"
    STORAGE_KEY_LOST = "storage_key_lost"
    SESSION_RENEWED = "session_renewed"
    REPLY_LATE = "reply_late"
    REPLY_MISSING = "reply_missing"
    RECORD_NAMES_THIS_NODE = "record_names_this_node"
    RECORD_CHANGED = "record_changed"
    CONFIRMED = "confirmed"
    CONFIRMATION_REFUSED = "confirmation_refused"
    CONFIRMATION_UNANSWERED = "confirmation_unanswered"
    RENEWAL_OLDER_THAN_WATCHDOG = "renewal_older_than_watchdog"
    WATCHDOG_TOO_SLOW = "watchdog_too_slow"
    MOVE_WANTED = "move_wanted"
    STOP_HANGS = "stop_hangs"
    NOTHING_HELD = "nothing_held"
    # the other side
    OWNER_HEALTHY = "owner_healthy"
    VIEW_OLD = "view_old"
    NO_TARGET = "no_target"
    GROUP_UNOWNED = "group_unowned"
    NOT_CONFIRMED = "not_confirmed"
    OWNER_RESTARTED = "owner_restarted"
    OWNER_SILENT = "owner_silent"
    SESSION_UNRENEWED = "session_unrenewed"
    SESSION_GONE = "session_gone"
    FENCE_UNVERIFIED = "fence_unverified"
    FENCE_VERIFIED = "fence_verified"
    FENCE_UNCONTRADICTED = "fence_uncontradicted"
    OWNER_REACHED_AGAIN = "owner_reached_again"
    SILENCE_PASSED = "silence_passed"
    SILENCE_NOT_PASSED = "silence_not_passed"
    OPERATOR_SAYS_OFF = "operator_says_off"
    NO_FENCE_NO_WATCHDOG = "no_fence_no_watchdog"


Detail = str | int | float


@dataclass(frozen=True)
class Decision:
    """The base of all: why, and the numbers it rests on."""

    reason: Reason
    facts: Mapping[str, Detail] = field(default_factory=dict, kw_only=True)


# --- the owner's side -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Note(Decision):
    """Nothing to do but to log."""


@dataclass(frozen=True)
class Clean(Decision):
    """Kill and unmount everything of any shared group, registered or not; then `owner.cleaned`."""


@dataclass(frozen=True)
class PetWatchdog(Decision):
    """Pet the watchdog now; nothing may be done in between."""


@dataclass(frozen=True)
class DisarmWatchdog(Decision):
    """Close the watchdog in order: nothing is held."""


@dataclass(frozen=True)
class Prepare(Decision):
    """Arm the watchdog if there is one, register a storage key if the volume takes one; then `owner.prepared`.

    The storage key carries the node and `key_epoch`, which is higher with every grant of the group.
    """

    group: GroupName
    key_epoch: int


@dataclass(frozen=True)
class Mount(Decision):
    """Preempt storage keys, clear multi-mount protection if `clear_mmp`, mount, add addresses, start.

    Only keys whose epoch is lower than `preempt_below` are preempted, each by its name: a keeper that was
    stopped just before this must not shut out its successor. None: the volume takes no keys.
    """

    group: GroupName
    preempt_below: int | None
    clear_mmp: bool


@dataclass(frozen=True)
class Stop(Decision):
    """Stop the services in order and unmount; then `owner.stopped`."""

    group: GroupName


@dataclass(frozen=True)
class Drop(Decision):
    """SIGKILL the cgroup, drop addresses, unmount, take the storage key back; then `owner.dropped`."""

    group: GroupName


# --- the other side ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leave(Decision):
    """Nothing is wrong, or nothing can be done now."""


@dataclass(frozen=True)
class Wait(Decision):
    """Do not act before `until`, seconds on the observer's own clock; then decide anew."""

    until: float


@dataclass(frozen=True)
class OrderFence(Decision):
    """Order the fence agent to cut the owner off; then `taker.ordered`."""

    node: NodeName


@dataclass(frozen=True)
class VerifyFence(Decision):
    """Read whether the owner is cut off (power off, reservation gone); then `taker.verified`."""

    node: NodeName


@dataclass(frozen=True)
class Take(Decision):
    """Carry out the transaction. If its guards do not hold, something changed: decide anew."""

    transaction: Transaction
    basis: Basis


@dataclass(frozen=True)
class AskOperator(Decision):
    """Alarm: the group stays down until the operator acknowledges that the node is off."""

    node: NodeName
