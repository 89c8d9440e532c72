"""A mount namespace for a test: what it mounts there nobody else sees, so nobody else can keep it mounted either.

(Containers that other tests boot meanwhile would copy the host's mounts.)
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nodeagent.resources.volumes import mounts
from tests.lab.host import CommandFailed, command, require_root

_CLONE_NEWNS = 0x00020000
#: mount(2): MS_REC | MS_PRIVATE
_PRIVATE = 0x4000 | 0x40000


def _call(done: int) -> None:
    if done:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@contextmanager
def own_mounts(below: Path) -> Iterator[None]:
    """Move the calling thread into a mount namespace of its own; what is left mounted below the folder then goes."""
    require_root()
    libc = ctypes.CDLL(None, use_errno=True)
    folder = Path.cwd()
    home = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY)
    try:
        _call(libc.unshare(_CLONE_NEWNS))
        _call(libc.mount(b"none", b"/", None, _PRIVATE, None))
        try:
            yield
        finally:
            for target in mounts.mounted_below(below):
                mounts.unmount(target, force=False, patience=5.0)
            _call(libc.setns(home, _CLONE_NEWNS))
            os.chdir(folder)
    finally:
        os.close(home)


@contextmanager
def loop_devices(image: Path, count: int) -> Iterator[list[Path]]:
    """Block devices over one image: each has a page cache of its own, like hosts on one LUN."""
    made: list[Path] = []
    try:
        for _ in range(count):
            made.append(Path(command("losetup", "--find", "--show", str(image)).strip()))
        yield made
    finally:
        for device in made:
            with suppress(CommandFailed):
                command("losetup", "--detach", str(device))


def make_image(image: Path, megabytes: int, *mkfs: str) -> Path:
    """A disk image, formatted by the command."""
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    command(*mkfs, str(image))
    return image


#: ext4 as it is asked for, with the shortest wait that a test can have.
EXT4_WITH_MMP = ("mkfs.ext4", "-q", "-O", "mmp", "-E", "mmp_update_interval=1")
