"""What a node, a service group and its parts are: frozen facts, as they stand in the store.

pydantic checks them at the border (store, files); inside the program they are plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.cluster.names import LOCAL_GROUP, EngineName, GroupName, InstanceId, NodeName, group_name, node_name

#: What this release writes. A release raises it by one at most, and only adds to records what the one before may
#: ignore; a change that it may not ignore takes two releases, the first of which reads both.
SCHEMA_VERSION = 1
#: The newest that this release reads. What is newer still may mean anything: it is left alone, and told.
NEWEST_READABLE = SCHEMA_VERSION + 1

CheckedNodeName = Annotated[NodeName, AfterValidator(node_name)]
CheckedGroupName = Annotated[GroupName, AfterValidator(group_name)]


class Fact(BaseModel):
    """A frozen record; unknown fields of the next release are ignored (releases N and N-1 work side by side).

    Why, and what follows for changes of records: docs/decisions/0081-releases-side-by-side.md.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = Field(default=SCHEMA_VERSION, le=NEWEST_READABLE)

    @property
    def newer(self) -> bool:
        """Whether a newer release wrote it: writing it again would lose what that one added."""
        return self.schema_version > SCHEMA_VERSION


class Role(StrEnum):
    """What a node may do."""

    CONTROL = "control"
    EDGE = "edge"
    STORE = "store"
    DIRECTORY = "directory"
    DATABASE = "database"
    WEB = "web"
    WITNESS = "witness"


class VolumeDriver(StrEnum):
    """How a volume is reached. `directory` is a folder of the node itself: no other node can reach it."""

    DIRECTORY = "directory"
    BLOCK = "block"
    NFS = "nfs"
    DRBD = "drbd"


class Filesystem(StrEnum):
    """What a block device is formatted with. ext4 has multi-mount protection on."""

    EXT4 = "ext4"
    XFS = "xfs"


class VolumeSpec(Fact):
    """A volume of a group.

    `source`: a device (block), SERVER:/PATH (nfs), a resource's name (drbd); empty for directory. `sources` are the
    nodes for which it is another one. `options`: mount(8) options beyond the driver's own. `reservation`: the device
    takes SCSI-3 persistent reservations, and every owner registers its key there.
    """

    driver: VolumeDriver = VolumeDriver.DIRECTORY
    source: str = ""
    sources: Mapping[CheckedNodeName, str] = Field(default_factory=dict)
    filesystem: Filesystem = Filesystem.EXT4
    options: tuple[str, ...] = ()
    reservation: bool = False

    def source_on(self, node: NodeName) -> str:
        """The source as this node names it."""
        return self.sources.get(node, self.source)


class FailbackPolicy(StrEnum):
    """When a group goes back to a node that it prefers and that is well again."""

    AUTOMATIC = "automatic"
    WINDOW = "window"
    MANUAL = "manual"


class Failback(Fact):
    """`settle`, seconds: so long the preferred node must have been well. `window`: HH:MM-HH:MM, local time."""

    policy: FailbackPolicy = FailbackPolicy.MANUAL
    settle: float = Field(default=300.0, ge=0, le=86_400)
    window: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")] = "02:00-05:00"


class Node(Fact):
    """A server and its roles.

    `address` is where the other nodes reach it; None on a server that stands alone. `labels` are what groups choose
    by. `most_groups`: how many groups it may own at once; None: any number. `number` is unique among all nodes that
    ever were (slapd's server id); None on a server that stands alone. `voter`: its store member counts in a majority.
    """

    name: CheckedNodeName
    roles: frozenset[Role]
    hostname: str = ""
    address: IPv4Address | IPv6Address | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    most_groups: int | None = Field(default=None, ge=0)
    number: int | None = Field(default=None, ge=1, le=4095)
    machine_id: str = ""
    voter: bool = False


class ServiceGroup(Fact):
    """The unit of failover: a volume, then addresses, then services, started in that order.

    `addresses` empty means that services listen on every address of the node,
    which only a node that owns a single mail group can do.
    `extra_volumes` are mounted below the first one, by name. Where it may run: `candidates` in order of preference,
    and the nodes whose labels are all of `labels`, after them; neither: any node that may own groups.
    `priority`: of groups that compete for a place, the higher goes first. `together`: groups to be on the same node;
    `apart`: groups never to be on the same node. `start_after`: groups that must run before, wherever.
    """

    name: CheckedGroupName
    volume: VolumeSpec = VolumeSpec()
    extra_volumes: Mapping[CheckedGroupName, VolumeSpec] = Field(default_factory=dict)
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    services: tuple[EngineName, ...] = ()
    candidates: tuple[CheckedNodeName, ...] = ()
    labels: Mapping[str, str] = Field(default_factory=dict)
    priority: int = Field(default=0, ge=-1000, le=1000)
    together: frozenset[CheckedGroupName] = frozenset()
    apart: frozenset[CheckedGroupName] = frozenset()
    start_after: frozenset[CheckedGroupName] = frozenset()
    failback: Failback = Failback()

    @property
    def instances(self) -> tuple[InstanceId, ...]:
        """Its engine instances in start order."""
        return tuple(InstanceId(engine, self.name) for engine in self.services)

    def may_run_on(self, node: Node) -> bool:
        """True when the node is among those that it may be placed on: named, labelled so, or else storing mail."""
        if node.name in self.candidates:
            return True
        if self.labels:
            return self.labels.items() <= node.labels.items()
        return not self.candidates and Role.STORE in node.roles

    def held_exclusively_by(self, node: NodeName) -> bool:
        """True when no other node could ever serve it: its volume is the node's own folder."""
        return self.name == LOCAL_GROUP or (self.volume.driver is VolumeDriver.DIRECTORY and self.candidates == (node,))


class Session(Fact):
    """One per node, renewed by its keeper; the record's create revision is the node's epoch.

    `machine_id` (machine-id(5)) tells a node that came back from another machine under its name.
    """

    node: CheckedNodeName
    boot_id: str
    sequence: int = Field(default=0, ge=0)
    machine_id: str = ""


class OwnershipStage(StrEnum):
    """How far an owner is. Only a confirmed owner may mount."""

    GRANTED = "granted"
    CONFIRMED = "confirmed"


class Basis(StrEnum):
    """Why the group could be given to its owner (docs/developers/takeover.md)."""

    UNOWNED = "unowned"
    UNCONFIRMED = "unconfirmed"
    RESTARTED = "restarted"
    FENCED = "fenced"
    WAITED = "waited"
    ACKNOWLEDGED = "acknowledged"
    HANDED_OVER = "handed_over"


class Ownership(Fact):
    """Who owns a group: the node, the epoch of its session. The record's mod revision is the group epoch.

    `silence`, seconds: the owner has armed a watchdog that resets it when its session was not renewed for so
    long; None: no silence proves that it is off. `storage_key` is the reservation key its writes depend on.
    """

    group: CheckedGroupName
    node: CheckedNodeName
    session_epoch: int = Field(ge=1)
    stage: OwnershipStage = OwnershipStage.CONFIRMED
    basis: Basis | None = None
    silence: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    storage_key: str | None = None
    machine_id: str = ""
