"""A block device that several nodes reach: a SAN's LUN, iSCSI, one disk of a hypervisor given to all."""

from __future__ import annotations

from pathlib import Path

from appliance.cluster.model import Filesystem, VolumeSpec
from appliance.cluster.names import NodeName, Seconds
from nodeagent.resources.volumes.base import PATIENCE, Promise, VolumeDriver
from nodeagent.resources.volumes.fault import VolumeFault
from nodeagent.resources.volumes.filesystem import DeviceFilesystem
from nodeagent.resources.volumes.reservation import Reservation, ReservationKey


class BlockVolume(VolumeDriver):
    """ext4 with multi-mount protection, or xfs, which has none; a reservation where the device takes one."""

    def __init__(self, spec: VolumeSpec, node: NodeName, target: Path) -> None:
        super().__init__(target)
        device = Path(spec.source_on(node))
        self._filesystem = DeviceFilesystem(device, target, spec.filesystem, spec.options)
        self._reservation = Reservation(device) if spec.reservation else None

    @property
    def promise(self) -> Promise:
        """A reservation fences; multi-mount protection refuses a second owner but stops no first one."""
        protected = self._filesystem.filesystem is Filesystem.EXT4
        return Promise(shared=True, storage_fence=self._reservation is not None, refuses_second_mount=protected)

    def check(self) -> None:
        """Device there, file system right, protection on, reservations possible."""
        self._filesystem.check(mmp=True)
        if self._reservation is not None:
            self._reservation.check()

    def needs_repair(self) -> bool:
        """Marked as damaged by the kernel."""
        return self._filesystem.needs_repair()

    def prepare(self, key: ReservationKey) -> None:
        """Register the key: without one, a device with a reservation takes no writes."""
        if self._reservation is not None:
            self._reservation.register(key)

    def release(self, key: ReservationKey | None) -> None:
        """Take the key back."""
        if self._reservation is not None:
            self._reservation.unregister(key)

    def key_registered(self, key: ReservationKey) -> bool:
        """Whether no newer owner has shut this one out."""
        return self._reservation is None or self._reservation.registered(key)

    def attach(self, *, key: ReservationKey | None, preempt_below: int | None, clear_mmp: bool) -> None:
        """Shut older owners out, then mount."""
        if self._reservation is not None:
            if key is None:
                raise VolumeFault("volume-key-lost", device=str(self._filesystem.device), storage_key="-")
            self._reservation.take(key, preempt_below)
        self._filesystem.mount(mmp=True, clear_mmp=clear_mmp)

    def detach(self, *, force: bool, patience: Seconds = PATIENCE) -> None:
        """Unmount; the key stays until `release`."""
        self._filesystem.unmount(force=force, patience=patience)
