"""Volumes: how a group's data is reached, one driver for each way (docs/developers/volumes.md).

The keeper attaches and detaches them in child processes with deadlines; the agent only
checks them. Nothing here imports more than it needs: start-up time is outage.
"""

from __future__ import annotations

from pathlib import Path

from appliance.cluster import model
from appliance.cluster.model import ServiceGroup, VolumeSpec
from appliance.cluster.names import NodeName
from nodeagent.resources.volumes.base import Promise, VolumeDriver
from nodeagent.resources.volumes.block import BlockVolume
from nodeagent.resources.volumes.directory import DirectoryVolume
from nodeagent.resources.volumes.drbd import DrbdVolume
from nodeagent.resources.volumes.fault import VolumeFault
from nodeagent.resources.volumes.mounts import mounted_below
from nodeagent.resources.volumes.nfs import NfsVolume
from nodeagent.resources.volumes.reservation import ReservationKey

__all__ = ["Promise", "ReservationKey", "VolumeDriver", "VolumeFault", "driver", "mounted_below", "volumes_of"]


def driver(spec: VolumeSpec, node: NodeName, target: Path) -> VolumeDriver:
    """The driver of a volume that this node is to have at `target`."""
    match spec.driver:
        case model.VolumeDriver.DIRECTORY:
            return DirectoryVolume(target)
        case model.VolumeDriver.BLOCK:
            return BlockVolume(spec, node, target)
        case model.VolumeDriver.NFS:
            return NfsVolume(spec, node, target)
        case model.VolumeDriver.DRBD:
            return DrbdVolume(spec, node, target)


def volumes_of(group: ServiceGroup, target: Path) -> tuple[tuple[VolumeSpec, Path], ...]:
    """A group's volumes and where they are mounted, in the order of attaching; detach in reverse."""
    return (group.volume, target), *((spec, target / name) for name, spec in sorted(group.extra_volumes.items()))
