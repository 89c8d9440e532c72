"""A device that DRBD mirrors between two nodes (drbd-utils); the node that owns the group is its primary.

Two primaries are only prevented while the nodes reach each other: otherwise the fence
is what keeps them apart. Never yet run on real machines (docs/operators/volumes.md).
"""

from __future__ import annotations

from pathlib import Path

from appliance.cluster.model import VolumeSpec
from appliance.cluster.names import NodeName, Seconds
from nodeagent.resources.volumes import tools
from nodeagent.resources.volumes.base import PATIENCE, Promise, VolumeDriver
from nodeagent.resources.volumes.fault import VolumeFault
from nodeagent.resources.volumes.filesystem import DeviceFilesystem

_GOOD = "UpToDate"


def local_state(text: str) -> str:
    """This node's disk state out of `drbdadm dstate` (LOCAL or LOCAL/PEER): UpToDate, Outdated, Inconsistent …"""
    return text.strip().partition("/")[0]


class DrbdVolume(VolumeDriver):
    """`source` is the resource's name; it has one volume."""

    def __init__(self, spec: VolumeSpec, node: NodeName, target: Path) -> None:
        super().__init__(target)
        self._resource = spec.source_on(node)
        self._spec = spec

    @property
    def promise(self) -> Promise:
        """The other node has a copy; it could be promoted while the two do not reach each other."""
        return Promise(shared=True)

    def check(self) -> None:
        """The resource is up here and this node's copy is the newest."""
        state = local_state(self._drbdadm("dstate"))
        if state != _GOOD:
            raise VolumeFault("volume-drbd-not-current", resource=self._resource, state=state or "?")

    def attach(self, *, key: object, preempt_below: int | None, clear_mmp: bool) -> None:
        """Become primary, never by force, and mount; a mount that fails gives the role back."""
        filesystem = self._filesystem()
        if not self.mounted():
            self.check()
            self._drbdadm("primary")
        try:
            filesystem.mount(mmp=False, clear_mmp=clear_mmp)
        except VolumeFault:
            if not self.mounted():
                self._drbdadm("secondary")
            raise

    def detach(self, *, force: bool, patience: Seconds = PATIENCE) -> None:
        """Unmount and become secondary."""
        self._filesystem().unmount(force=force, patience=patience)
        self._drbdadm("secondary")

    def _filesystem(self) -> DeviceFilesystem:
        devices = self._drbdadm("sh-dev").split()
        if len(devices) != 1:
            raise VolumeFault("volume-drbd-devices", resource=self._resource, devices=", ".join(devices))
        return DeviceFilesystem(Path(devices[0]), self.target, self._spec.filesystem, self._spec.options)

    def _drbdadm(self, command: str) -> str:
        try:
            return tools.run("drbdadm", command, self._resource).output
        except tools.ToolFailed as failed:
            facts = {"resource": self._resource, "command": command, "detail": failed.done.detail}
            raise VolumeFault("volume-drbd-failed", **facts) from failed
