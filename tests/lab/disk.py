"""A disk that several nodes share, like a LUN: one image file, one loop device for each node over it.

Each node has a page cache of its own and nothing but the product keeps two of them from mounting it at once; ext4's
multi-mount protection is on, as docs/operators ask for. A node that is killed loses what it had not yet written for
good (EXT4_IOC_SHUTDOWN, ext4's ioctl.c), as in a power cut: the kernel here lives on and would write it otherwise.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.host import CommandFailed, LabError, command
from tests.lab.polling import wait_until

if TYPE_CHECKING:
    from tests.lab.node import Node

_FREEZE, _THAW, _SHUTDOWN = 0xC0045877, 0xC0045878, 0x8004587D  # FIFREEZE, FITHAW, EXT4_IOC_SHUTDOWN
_WITHOUT_FLUSHING = struct.pack("I", 2)  # EXT4_GOING_FLAGS_NOLOGFLUSH


class SharedDisk:
    """A shared disk, made by `Lab.disk`. Nodes find it as `device`; `attach` before they boot."""

    def __init__(self, name: str, image: Path, loops: dict[str, str] | None = None) -> None:
        self.name = name
        self.image = image
        #: node name -> its loop device on this host
        self.loops = loops or {}
        self._hung: dict[str, int] = {}

    @property
    def device(self) -> str:
        """Its name inside every node."""
        return f"/dev/{self.name}"

    def make(self, megabytes: int) -> None:
        """Make the image with an ext4 that goes read-only at the first error."""
        self.image.parent.mkdir(parents=True, exist_ok=True)
        with self.image.open("wb") as file:
            file.truncate(megabytes << 20)
        command("mkfs.ext4", "-q", "-O", "mmp", "-e", "remount-ro", "-m", "0", str(self.image))

    def attach(self, node: Node) -> None:
        """Give the node, which does not run yet, a device of its own over the image."""
        if node.running:
            raise LabError(f"{node.name} runs: a disk is attached before it boots")
        loop = command("losetup", "--find", "--show", str(self.image)).strip()
        self.loops[node.name] = loop
        node.options = (*node.options, f"--bind={loop}:{self.device}")

    def detach(self, node: str) -> None:
        """Free the loop device of a node that has ended."""
        loop = self.loops.pop(node, None)
        if loop:
            command("losetup", "--detach", loop)

    def remove(self) -> None:
        """Free every loop device; the nodes have ended."""
        for node in list(self._hung):
            self.release(node)
        if not self.image.exists():
            return
        for line in command("losetup", "--associated", str(self.image)).splitlines():
            with suppress(CommandFailed):
                command("losetup", "--detach", line.partition(":")[0])

    # -- what is -----------------------------------------------------------------------------------------------

    def superblock(self, node: str) -> Path | None:
        """What the kernel shows of the file system while the node has it mounted, in whatever mount namespace."""
        loop = self.loops.get(node)
        return Path("/sys/fs/ext4") / Path(loop).name if loop else None

    def is_mounted_on(self, node: str) -> bool:
        """Whether the node has it mounted: the kernel's own word."""
        superblock = self.superblock(node)
        return bool(superblock and superblock.exists())

    def path_on(self, node: Node) -> Path:
        """Where this host reaches the file system as the node has it mounted. Raises LabError when it has not."""
        init = node.init
        number = f"7:{self.loops[node.name].removeprefix('/dev/loop')}"
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{init.pid}/mountinfo").read_text().splitlines() if init else ():
                fields = line.split()
                if fields[2] == number and fields[3] == "/":
                    return Path(f"/proc/{init.pid}/root{fields[4]}") if init else Path()
        raise LabError(f"{node.name} has {self.name} not mounted")

    # -- faults ------------------------------------------------------------------------------------------------

    def cut(self, node: Node) -> None:
        """From now on nothing of this node reaches the disk, not even what its cache holds. It is about to end."""
        with suppress(LabError, OSError):
            descriptor = os.open(self.path_on(node), os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.ioctl(descriptor, _SHUTDOWN, _WITHOUT_FLUSHING)
            finally:
                os.close(descriptor)
        self.release(node.name)

    def wait_gone(self, node: Node, timeout: float = 15.0) -> None:
        """Wait until the kernel has let go of what an ended node had mounted."""
        wait_until(
            f"{self.name} is unmounted on {node.name}",
            lambda: not self.is_mounted_on(node.name),
            timeout=timeout,
            every=0.01,
        )

    def hang(self, node: Node) -> None:
        """Let every write of this node to the disk wait for ever (until `release`); nobody can unmount it either."""
        descriptor = os.open(self.path_on(node), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _FREEZE, 0)
        except OSError:
            os.close(descriptor)
            raise
        self._hung[node.name] = descriptor

    def release(self, node: str) -> None:
        """Let a hanging disk go on."""
        descriptor = self._hung.pop(node, None)
        if descriptor is not None:
            with suppress(OSError):  # the file system was shut down meanwhile
                fcntl.ioctl(descriptor, _THAW, 0)
            os.close(descriptor)

    def break_on(self, node: Node) -> None:
        """Let the node's file system meet an error: it goes read-only, as after a broken sector or path.

        It happens while files are open that were deleted, as they are in a mail store at any time.
        """
        superblock = self.superblock(node.name)
        if superblock is None or not superblock.exists():
            raise LabError(f"{node.name} has {self.name} not mounted")
        folder = self.path_on(node)
        with ExitStack() as still_open:
            for number in range(3):
                path = folder / f"deleted-while-open-{number}"
                file = still_open.enter_context(path.open("wb", buffering=0))
                path.unlink()
                file.write(b"-")
                os.fsync(file.fileno())
            (superblock / "trigger_fs_error").write_text("the lab's doing")

    def fill(self, node: Node) -> Path:
        """Use up every free block; return the file that does, for the test to remove."""
        filler = self.path_on(node) / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
        return filler
