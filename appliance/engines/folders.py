"""Making the folders that an engine needs, with the right owner and mode, time and again.

Runs as root on paths below which unprivileged engines may write, so it never follows a
symbolic link that such an engine could have planted (only root's own links on the way).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from appliance import durable_files
from appliance.engines.base import Directory
from appliance.errors import PosthouseError

AccountId = Callable[[str], int]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
#: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS (<linux/fs.h>; both take a long and use an int of it) and FS_DIRSYNC_FL.
_GET_FLAGS, _SET_FLAGS, _DIRSYNC = 0x80086601, 0x40086602, 0x00010000
#: What a file system says that knows no such flags.
_UNKNOWN = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL})


class FolderRefused(PosthouseError):
    """Something that is no folder, or a link of somebody else's, stands where a folder has to be."""


def make_directories(
    directories: Iterable[Directory],
    user_id: AccountId = durable_files.user_id,
    group_id: AccountId = durable_files.group_id,
) -> None:
    """Make each folder, and mend its owner and mode. Parents that are missing belong to root, mode 755.

    Raises FolderRefused, and NoSuchAccount when an owner does not exist.
    """
    for directory in directories:
        handle = _open(directory.path)
        try:
            _mend(handle, user_id(directory.owner), group_id(directory.group), directory.mode)
            if directory.synchronous:
                _synchronise(handle)
        finally:
            os.close(handle)


def _mend(handle: int, uid: int, gid: int, mode: int) -> None:
    about = os.fstat(handle)
    if (about.st_uid, about.st_gid) != (uid, gid):
        os.fchown(handle, uid, gid)
    if stat.S_IMODE(os.fstat(handle).st_mode) != mode:  # chown may have cleared bits
        os.fchmod(handle, mode)


def _synchronise(handle: int) -> None:
    flags = bytearray(8)
    try:
        fcntl.ioctl(handle, _GET_FLAGS, flags)
        (standing,) = struct.unpack_from("i", flags)
        if not standing & _DIRSYNC:
            fcntl.ioctl(handle, _SET_FLAGS, struct.pack("q", standing | _DIRSYNC))
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise


def _open(path: Path) -> int:
    """Open the folder `path` from the root down, making what is missing."""
    handle = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    seen = Path("/")
    *parents, last = path.parts[1:]
    try:
        for part in parents:
            seen /= part
            handle = _step(handle, part, seen, follow=True)
        return _step(handle, last, path, follow=False)
    except BaseException:
        os.close(handle)
        raise


def _step(parent: int, name: str, path: Path, *, follow: bool) -> int:
    """Open `name` in the folder `parent`, and close `parent` when that went well."""
    try:
        try:
            handle = os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # another instance of the group is making the same folder
                os.mkdir(name, 0o755, dir_fd=parent)
            os.fsync(parent)
            handle = os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        if not isinstance(error, NotADirectoryError) and error.errno != errno.ELOOP:
            raise
        handle = _through_link(parent, name, path, follow=follow)
    os.close(parent)
    return handle


def _through_link(parent: int, name: str, path: Path, *, follow: bool) -> int:
    about = os.lstat(name, dir_fd=parent)
    if not stat.S_ISLNK(about.st_mode):
        raise FolderRefused("folder-is-no-folder", path=str(path))
    if not follow or about.st_uid not in {0, os.geteuid()}:
        raise FolderRefused("folder-behind-a-link", path=str(path))
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=parent)
