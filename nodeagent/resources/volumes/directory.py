"""A folder of the node itself: nothing to mount, and no other node can reach it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import ClassVar

from appliance.cluster.names import Seconds
from nodeagent.resources.volumes.base import PATIENCE, Promise, VolumeDriver
from nodeagent.resources.volumes.fault import VolumeFault
from nodeagent.resources.volumes.reservation import ReservationKey

_MODE = 0o755


def make_folder(folder: Path) -> None:
    """Make the folder and its parents where they are missing, mode 755, owned by whom the process runs as (root).

    Never through a symbolic link at its end; raises VolumeFault.
    """
    try:
        folder.mkdir(mode=_MODE, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise VolumeFault("volume-folder", path=str(folder), detail=error.strerror or "") from error
    os.close(handle)


class DirectoryVolume(VolumeDriver):
    """A folder. An operator may have mounted a disk of the node there; that is theirs to keep."""

    mounts: ClassVar[bool] = False

    @property
    def promise(self) -> Promise:
        """No other node can reach it, so nothing needs to be fenced."""
        return Promise(shared=False)

    def check(self) -> None:
        """It is a folder, or nothing yet."""
        if self.target.is_symlink() or (self.target.exists() and not self.target.is_dir()):
            raise VolumeFault("volume-folder", path=str(self.target), detail=os.strerror(errno.ENOTDIR))

    def attach(self, *, key: ReservationKey | None, preempt_below: int | None, clear_mmp: bool) -> None:
        """See that the folder exists."""
        make_folder(self.target)

    def detach(self, *, force: bool, patience: Seconds = PATIENCE) -> None:
        """Nothing to give up."""
