"""What a node, a service group and its parts are: frozen facts, as they stand in the store.

pydantic checks them at the border (store, files); inside the program they are plain values.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.cluster.names import LOCAL_GROUP, EngineName, GroupName, InstanceId, NodeName, group_name, node_name

SCHEMA_VERSION = 1

CheckedNodeName = Annotated[NodeName, AfterValidator(node_name)]
CheckedGroupName = Annotated[GroupName, AfterValidator(group_name)]


class Fact(BaseModel):
    """A frozen record; unknown fields of a newer release are ignored (releases N and N-1 work side by side)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA_VERSION


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


class VolumeSpec(Fact):
    """A volume of a group."""

    driver: VolumeDriver = VolumeDriver.DIRECTORY


class Node(Fact):
    """A server and its roles."""

    name: CheckedNodeName
    roles: frozenset[Role]


class ServiceGroup(Fact):
    """The unit of failover: a volume, then addresses, then services, started in that order.

    `addresses` empty means that services listen on every address of the node,
    which only a node that owns a single mail group can do.
    """

    name: CheckedGroupName
    volume: VolumeSpec = VolumeSpec()
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    services: tuple[EngineName, ...] = ()
    candidates: tuple[CheckedNodeName, ...] = ()

    @property
    def instances(self) -> tuple[InstanceId, ...]:
        """Its engine instances in start order."""
        return tuple(InstanceId(engine, self.name) for engine in self.services)

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
