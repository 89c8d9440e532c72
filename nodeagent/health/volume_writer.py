"""A program that tries volumes out: reads lines `PARENT_TOO PATH`, writes a few bytes there, says how that went.

A process of its own, so that a file system that hangs holds up this process and not the
agent: a thread in the kernel's uninterruptible sleep cannot be ended, nor can its process.
Each volume has a thread here, and at most one question under way. Run by path, with the
standard library alone; ends when its input does.

Question: `1 /srv/posthouse/mail` (1: it has to be a mount point, 0: a folder will do).
Answer, tab-separated: path, errno (0: written and synchronised; -1: nothing is mounted),
bytes and inodes that others than root can still take, all inodes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

FOLDER = ".posthouse"
NAME = "alive"
_ALIVE = b"posthouse\n"
NOT_MOUNTED = -1


class _NotMounted(Exception):
    """The path is on the same file system as its parent."""


def _try(path: str, must_be_mounted: bool) -> tuple[int, int, int]:
    """Write and synchronise; return what is free. Through one handle, so that nothing lands beside the volume."""
    volume = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if must_be_mounted and os.fstat(volume).st_dev == os.stat(os.path.dirname(path)).st_dev:  # noqa: PTH116, PTH120
            raise _NotMounted
        with contextlib.suppress(FileExistsError):
            os.mkdir(FOLDER, 0o700, dir_fd=volume)
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=volume)
        try:
            file = os.open(NAME, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
            try:
                os.pwrite(file, _ALIVE, 0)
                os.fsync(file)
            finally:
                os.close(file)
        finally:
            os.close(folder)
        room = os.fstatvfs(volume)
        return room.f_bavail * room.f_frsize, room.f_favail, room.f_files
    finally:
        os.close(volume)


def _answer(path: str, must_be_mounted: bool) -> None:
    room, error = (0, 0, 0), 0
    try:
        room = _try(path, must_be_mounted)
    except _NotMounted:
        error = NOT_MOUNTED
    except OSError as failed:
        error = failed.errno or NOT_MOUNTED
    line = "\t".join((path, str(error), *map(str, room))) + "\n"
    os.write(1, line.encode("utf-8", "surrogateescape"))  # shorter than PIPE_BUF: never mixed with another's


class _Volume(threading.Thread):
    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._must_be_mounted = True
        self._asked = threading.Event()

    def ask(self, must_be_mounted: bool) -> None:
        self._must_be_mounted = must_be_mounted
        self._asked.set()

    def run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            _answer(self._path, self._must_be_mounted)


def main() -> None:
    """Answer until the input ends; what hangs then is left behind."""
    volumes: dict[str, _Volume] = {}
    for line in sys.stdin:
        flag, _, path = line.rstrip("\n").partition(" ")
        if path not in volumes:
            volumes[path] = _Volume(path)
            volumes[path].start()
        volumes[path].ask(flag == "1")
    os._exit(0)


if __name__ == "__main__":
    main()
