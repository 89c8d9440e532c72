"""What every volume driver does, and what it says when it cannot.

The keeper calls drivers in a child process of its own with a deadline, so drivers
block as long as the kernel or a tool does and know no deadlines themselves
(docs/developers/volumes.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from appliance.cluster.names import Seconds
from nodeagent.resources.volumes import mounts
from nodeagent.resources.volumes.reservation import ReservationKey

#: So long an unmount is tried while something still holds the volume.
PATIENCE = Seconds(5.0)


@dataclass(frozen=True)
class Promise:
    """What a driver can guarantee.

    `shared`: another node can reach the volume. `storage_fence`: once a newer owner preempted, every write of an
    older one fails. `refuses_second_mount`: a second node that tries to mount is refused by the volume itself.
    """

    shared: bool
    storage_fence: bool = False
    refuses_second_mount: bool = False


class VolumeDriver(ABC):
    """One volume on this node. Everything raises VolumeFault; everything may be called again."""

    #: Whether it is a mount of its own; a plain folder is not.
    mounts: ClassVar[bool] = True

    def __init__(self, target: Path) -> None:
        self.target = target

    @property
    @abstractmethod
    def promise(self) -> Promise:
        """What this volume can guarantee."""

    @abstractmethod
    def check(self) -> None:
        """Raise VolumeFault unless this node could attach it. Changes nothing, and works while another node owns it."""

    @abstractmethod
    def attach(self, *, key: ReservationKey | None, preempt_below: int | None, clear_mmp: bool) -> None:
        """Make the volume usable at the target.

        `preempt_below`: shut out every reservation key of a lower epoch first. `clear_mmp`: the former owner is
        proven off, so ext4's multi-mount protection need not wait for it.
        """

    @abstractmethod
    def detach(self, *, force: bool, patience: Seconds = PATIENCE) -> None:
        """Give the volume up: when this returns, no file system of it is mounted on this node, in no mount namespace.

        Tried again for `patience` seconds while busy; never lazily. `force`: requests to a server that does not
        answer are given up (umount2(2), MNT_FORCE).
        """

    def prepare(self, key: ReservationKey) -> None:  # noqa: B027 - most volumes take no key
        """Register the storage key of an owner to be, where the volume takes one."""

    def release(self, key: ReservationKey | None) -> None:  # noqa: B027 - most volumes take no key
        """Take the storage key back; None: whichever this node has registered."""

    def key_registered(self, key: ReservationKey) -> bool:
        """Whether the volume still takes writes made under the key; True where it takes none."""
        return True

    def needs_repair(self) -> bool:
        """Whether attaching will run a repair first, which may take minutes."""
        return False

    def mounted(self) -> bool:
        """Whether something is mounted at the target. A plain folder never is."""
        return self.mounts and mounts.mounted_at(self.target) is not None
