"""What operators wish and what the controller decides, as it stands in the store.

Only the leading controller writes placements, fences and events, each guarded by its leadership's epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from appliance.cluster.model import CheckedGroupName, CheckedNodeName, Fact
from appliance.cluster.report import Notice
from appliance.cluster.timing import FenceMode


class Wish(Fact):
    """What an operator wants of a group, `desired/wishes/GROUP`: on that node, or stopped; nothing: as placed."""

    group: CheckedGroupName
    node: CheckedNodeName | None = None
    stopped: bool = False


class Drain(Fact):
    """An operator wants the node empty, `desired/drained/NODE`: it keeps and gets no group that can go elsewhere."""

    node: CheckedNodeName
    since: datetime
    by: str = ""


class Placement(Fact):
    """Where the group should be, `placements/GROUP`; node None: nowhere, for the reason given (a message key).

    A confirmed owner that is not the placed node stops the group and hands it to that node's session.
    """

    group: CheckedGroupName
    node: CheckedNodeName | None = None
    reason: str = ""
    facts: Mapping[str, str | int | float] = Field(default_factory=dict)


class ProtocolTiming(Fact):
    """The installation's timing, `desired/timing`: seconds, by the names of appliance.cluster.timing.Timing."""

    mode: FenceMode = FenceMode.FENCED
    renew: float = 2.0
    reply: float = 1.5
    demote: float = 5.0
    kill: float = 2.0
    watchdog: float = 7.0
    margin: float = 1.0
    takeover: float = 10.0


class FenceSpec(Fact):
    """How a node is fenced, `desired/fences/NODE`: a program of fence-agents(7) and what it reads on standard input.

    `sealed` holds the parameters that are secrets, each sealed with the control nodes' key. `delay`, seconds: waited
    before this node is fenced, so that of two that fence each other one wins.
    """

    node: CheckedNodeName
    agent: str = Field(pattern=r"^fence_[a-z0-9_]+$")
    parameters: Mapping[str, str] = Field(default_factory=dict)
    sealed: Mapping[str, str] = Field(default_factory=dict)
    timeout: float = Field(default=20.0, gt=0, le=300)
    delay: float = Field(default=0.0, ge=0, le=60)


class FenceProgress(StrEnum):
    """How far the fencing of a node is."""

    ORDERED = "ordered"
    REFUSED = "refused"
    VERIFIED = "verified"


class FenceRecord(Fact):
    """A fencing of a node's session, `fences/NODE`; another leader goes on from it.

    `missed`: it read off and the session was renewed after that. `stays_off`: an operator asked for it.
    `powered_on`: the node was switched on again, or that was tried. `spec`: the mod revision of the FenceSpec by which
    it was ordered, or read last; 0: of an older release, which did not note it. `held_off`: it had been switched on too
    often of late (`PowerOns`), and stays off.
    """

    node: CheckedNodeName
    session_epoch: int = Field(ge=1)
    progress: FenceProgress
    detail: str = ""
    missed: bool = False
    stays_off: bool = False
    powered_on: bool = False
    spec: int = Field(default=0, ge=0)
    held_off: bool = False


class PowerOns(Fact):
    """When the leaders had a node switched on again after it was cut off, `power-ons/NODE`: the latest times, by their
    wall clocks. It outlives the fences' records, which end when the node is back.
    """

    node: CheckedNodeName
    at: tuple[datetime, ...] = ()


class FenceProblem(StrEnum):
    """What is wrong with a node's fence though nobody needs it now."""

    #: It does not say whether the node is on.
    SILENT = "silent"
    #: It says "off" of a node that is alive: it is on another plug, or broken.
    READS_OFF = "reads-off"
    #: It was ordered, read "off", and the node renewed its session after that. It counts for nothing until set anew.
    MISSES = "misses"


class FenceCheck(Fact):
    """What the leader found when it last asked a node's fence for the node's state, `fence-checks/NODE`.

    `spec`: the mod revision of the node's FenceSpec, which alone it is about. `read_at`: when the fence last answered
    as it should, wall-clock time, for people.
    """

    node: CheckedNodeName
    spec: int = Field(ge=1)
    read_at: datetime | None = None
    problem: FenceProblem | None = None
    detail: str = ""


class FenceRequest(Fact):
    """An operator wants the node of that session fenced now, `fence-requests/NODE`."""

    node: CheckedNodeName
    session_epoch: int = Field(ge=1)
    by: str


class Acknowledgement(Fact):
    """The operator says that the node of that session is off, `acknowledgements/NODE`."""

    node: CheckedNodeName
    session_epoch: int = Field(ge=1)
    by: str
    at: datetime


def serial_text(number: int) -> str:
    """A certificate's serial number as records have it: hexadecimal, upper case, without leading zeros."""
    return f"{number:X}"


class RevokedCertificate(Fact):
    """A certificate that was given to a node: serial number (`serial_text`) and SHA-256, with colons."""

    node: str
    serial: str
    fingerprint: str
    ends: datetime


class Revoked(Fact):
    """The certificates of removed nodes, `desired/revoked`, and the list that the authority signed (PEM).

    `number`: a list of a higher one is newer (RFC 5280, 5.2.3).
    """

    number: int = Field(ge=1)
    certificates: tuple[RevokedCertificate, ...] = ()
    crl: str

    @property
    def serials(self) -> frozenset[str]:
        """The serial numbers on the list."""
        return frozenset(each.serial for each in self.certificates)


class Observation(Fact):
    """The nodes that answer none of this observer's direct probes, `observations/OBSERVER`; absent: it sees them all.

    Written when that changes, by the observer's agent. It carries no times: the reader counts from when it read it.
    """

    observer: CheckedNodeName
    unanswered: frozenset[CheckedNodeName]


class Leadership(Fact):
    """The leading controller, `leader`; the record's create revision is the leadership's epoch."""

    node: CheckedNodeName
    sequence: int = Field(default=0, ge=0)


class OperatorNeeded(Fact):
    """Groups that stay down until the operator acknowledges that the node of that session is off."""

    node: CheckedNodeName
    session_epoch: int = Field(ge=1)
    groups: tuple[CheckedGroupName, ...]


class ControllerReport(Fact):
    """What the leading controller has to say, `controller`; written when it changes.

    `since` is when it began to lead, wall-clock time, for people. `waiting` is what only the operator can go on with.
    """

    node: CheckedNodeName
    epoch: int = Field(ge=1)
    since: datetime
    waiting: tuple[OperatorNeeded, ...] = ()
    notices: tuple[Notice, ...] = ()


class ClusterEvent(Fact):
    """One line of the decision log, `events/TIME-NODE-NUMBER`: what was seen, what was decided and why.

    `key` is a message key of the catalogues, `facts` its variables. `at` is wall-clock time, for people.
    """

    at: datetime
    by: CheckedNodeName
    part: str
    key: str
    group: CheckedGroupName | None = None
    node: CheckedNodeName | None = None
    facts: Mapping[str, str | int | float] = Field(default_factory=dict)
