"""Writing files so that a power cut leaves the old one or the new one, never half of one.

Used for identity, keys and rendered configuration. The order is the one POSIX
asks for: write, fsync the file, rename, fsync the folder.
"""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
from pathlib import Path

from appliance.errors import PosthouseError


def sync_folder(folder: Path) -> None:
    """Make the folder's entries (renames, new names) survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class NoSuchAccount(PosthouseError, KeyError):
    """A user or group of the operating system that a file needs does not exist: its package is missing."""


def user_id(name: str) -> int:
    """The uid of an account; raises NoSuchAccount (a KeyError) when there is none."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise NoSuchAccount("no-such-account", name=name) from error


def group_id(name: str) -> int:
    """The gid of a group; raises NoSuchAccount (a KeyError) when there is none."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise NoSuchAccount("no-such-account", name=name) from error


def write_new(path: Path, data: bytes, mode: int, gid: int = -1) -> None:
    """Write a file that must not exist yet and fsync it; its mode is exact, whatever the umask."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchown(file.fileno(), -1, gid)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def replace(path: Path, data: bytes, mode: int, group: str | None = None) -> None:
    """Put `data` at `path` in one step, with this mode and group (None: the writer's own).

    The new content is never readable with wider permissions than `mode`.
    """
    gid = -1 if group is None else group_id(group)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    staged = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchown(file.fileno(), -1, gid)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
