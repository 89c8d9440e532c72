"""A file system on a device of this node: is it right, mount it, give it up for certain.

What lies between the device and its owner (a reservation, DRBD's roles) is the
business of the driver that uses this.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
from pathlib import Path

from appliance.cluster.model import Filesystem
from nodeagent.resources.volumes import e2fsck, ext4, mounts, tools
from nodeagent.resources.volumes.directory import make_folder
from nodeagent.resources.volumes.fault import VolumeFault

log = logging.getLogger("posthouse.volumes")

#: What mail needs no more than: no devices, no set-uid, no programs; access times would only cost writes.
_OPTIONS = ("rw", "nodev", "nosuid", "noexec", "noatime")
#: xfs knows no synchronous folders (appliance/engines/folders.py), only synchronous mounts.
_OWN_OPTIONS = {Filesystem.EXT4: ("errors=remount-ro",), Filesystem.XFS: ("dirsync",)}
_XFS_MAGIC = b"XFSB"
#: <linux/fs.h>
_BLKFLSBUF = 0x1261
#: What mount(8) makes of EUCLEAN and EIO. EINVAL may as well be an option that is none.
_DAMAGED = ("structure needs cleaning", "can't read superblock")
_AGAIN = 0.02


class DeviceFilesystem:
    """`options` are mount(8) options; later ones win over the driver's own."""

    def __init__(self, device: Path, target: Path, filesystem: Filesystem, options: tuple[str, ...] = ()) -> None:
        self.device = device
        self.target = target
        self.filesystem = filesystem
        self.options = (*_OPTIONS, *_OWN_OPTIONS[filesystem], *options)

    # -- looking ----------------------------------------------------------------------------------------------

    def check(self, *, mmp: bool) -> None:
        """Raise VolumeFault unless the device holds such a file system; `mmp`: ext4 needs multi-mount protection."""
        if self.filesystem is Filesystem.EXT4:
            if not self._superblock().mmp and mmp:
                raise VolumeFault("volume-without-mmp", device=str(self.device))
        elif not self._start().startswith(_XFS_MAGIC):
            raise self._wrong_filesystem()

    def needs_repair(self) -> bool:
        """Whether the kernel has marked it as damaged, so that it is checked before it is mounted."""
        return self.filesystem is Filesystem.EXT4 and self._superblock().errors

    def _superblock(self) -> ext4.Superblock:
        found = ext4.parse_superblock(self._start())
        if found is None:
            raise self._wrong_filesystem()
        return found

    def _start(self) -> bytes:
        self._number()
        try:
            return ext4.read_direct(self.device)
        except OSError as error:
            raise self._unreadable(error) from error

    def _number(self) -> str:
        """MAJOR:MINOR of the device."""
        try:
            about = self.device.stat()
        except FileNotFoundError as error:
            raise VolumeFault("volume-device-missing", device=str(self.device)) from error
        except OSError as error:
            raise self._unreadable(error) from error
        if not stat.S_ISBLK(about.st_mode):
            raise VolumeFault("volume-no-block-device", device=str(self.device))
        return f"{os.major(about.st_rdev)}:{os.minor(about.st_rdev)}"

    def _unreadable(self, error: OSError) -> VolumeFault:
        return VolumeFault("volume-device-unreadable", device=str(self.device), detail=error.strerror or "")

    def _wrong_filesystem(self) -> VolumeFault:
        return VolumeFault("volume-wrong-filesystem", device=str(self.device), filesystem=self.filesystem.value)

    # -- mounting ---------------------------------------------------------------------------------------------

    def mount(self, *, mmp: bool, clear_mmp: bool) -> None:
        """Mount it; `clear_mmp` is only for a volume whose former owner is proven off."""
        number = self._number()
        standing = mounts.mounted_at(self.target)
        if standing is not None:
            if standing.device != number:
                raise VolumeFault("volume-other-mounted", path=str(self.target), source=standing.source)
            if standing.read_only:
                raise VolumeFault("volume-read-only", path=str(self.target))
            return
        self.check(mmp=mmp)
        make_folder(self.target)
        if clear_mmp:
            self._clear_mmp()
        if self.needs_repair():
            self._repair(proven=clear_mmp)
        self._forget_cached()
        done = self._mount()
        if done.status and any(each in done.errors.lower() for each in _DAMAGED):
            self._repair(proven=clear_mmp)
            done = self._mount()
        if done.status:
            raise self._refused(done)

    def _mount(self) -> tools.Done:
        words = ("mount", "--types", self.filesystem.value, "--options", ",".join(self.options))
        return tools.run(*words, "--source", str(self.device), "--target", str(self.target), accept=range(256))

    def _refused(self, done: tools.Done) -> VolumeFault:
        detail = done.detail.removeprefix("mount: ")
        held = self._protection() if "already mounted" in done.errors else None
        if held is not None and not held.clean:
            return VolumeFault("volume-in-use", device=str(self.device), node=held.node or "?")
        return VolumeFault("volume-mount-failed", device=str(self.device), path=str(self.target), detail=detail)

    def _protection(self) -> ext4.MmpBlock | None:
        if self.filesystem is not Filesystem.EXT4:
            return None
        try:
            return ext4.read_mmp(self.device, self._superblock())
        except OSError as error:
            raise self._unreadable(error) from error

    def _clear_mmp(self) -> None:
        """Unlock what a node left that is off. Never what this node itself has mounted somewhere."""
        held = self._protection()
        if held is None or held.clean:
            return
        if self._claimed():
            raise self._mounted_elsewhere()
        log.warning("%s: multi-mount protection left by %s is cleared", self.device, held.node)
        try:
            tools.run("tune2fs", "-f", "-E", "clear_mmp", str(self.device))
        except tools.ToolFailed as failed:
            raise VolumeFault("volume-mmp-not-cleared", device=str(self.device), detail=failed.done.detail) from failed

    def _repair(self, *, proven: bool) -> None:
        """What can be mended without a decision, as at every boot. Never while another node may write."""
        if self.filesystem is not Filesystem.EXT4:
            raise VolumeFault("volume-damaged", device=str(self.device), program="xfs_repair", detail="")
        held = self._protection()
        if held is not None and not held.clean and not proven:
            raise VolumeFault("volume-in-use", device=str(self.device), node=held.node or "?")
        log.warning("%s is marked as damaged: e2fsck runs before it is mounted", self.device)
        self._forget_cached()
        try:
            if self._superblock().journal:
                e2fsck.replay(self.device, protected=held is not None)
        except tools.ToolFailed as failed:
            log.warning("%s: its journal is left to e2fsck: %s", self.device, failed.done.detail)
        try:
            e2fsck.mend(self.device, orphans=self._superblock().orphans)
        except tools.ToolFailed as failed:
            detail = failed.done.detail
            raise VolumeFault("volume-damaged", device=str(self.device), program="e2fsck", detail=detail) from failed

    def _forget_cached(self) -> None:
        """Drop what this node's cache holds of the device: another node has written since."""
        try:
            handle = os.open(self.device, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(handle, _BLKFLSBUF)
            finally:
                os.close(handle)
        except OSError as error:
            raise self._unreadable(error) from error

    # -- giving up --------------------------------------------------------------------------------------------

    def unmount(self, *, force: bool, patience: float) -> None:
        """Unmount, and see that the kernel has let go of the device.

        A process with a mount namespace of its own may keep a copy of the mount: then the file system lives on
        although this namespace no longer shows it.
        """
        until = time.monotonic() + patience
        try:
            gone = mounts.unmount(self.target, force=force, patience=patience)
            while gone and mounts.mounted_at(self.target) is not None:  # mounted twice, one upon the other
                gone = mounts.unmount(self.target, force=force, patience=until - time.monotonic())
        except OSError as error:
            detail = error.strerror or ""
            raise VolumeFault("volume-unmount-failed", path=str(self.target), detail=detail) from error
        if not gone:
            raise VolumeFault("volume-busy", path=str(self.target), holders=mounts.users(self.target) or "?")
        while self._claimed():
            if time.monotonic() >= until:
                raise self._mounted_elsewhere()
            time.sleep(_AGAIN)

    def _claimed(self) -> bool:
        """Whether a file system (or another exclusive user) of this node has the device: open(2), O_EXCL."""
        try:
            os.close(os.open(self.device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            return error.errno == errno.EBUSY  # a device that is gone holds nothing
        return False

    def _mounted_elsewhere(self) -> VolumeFault:
        try:
            keepers = mounts.keepers(self._number())
        except VolumeFault:
            keepers = ""
        return VolumeFault("volume-mounted-elsewhere", device=str(self.device), holders=keepers or "?")
