"""One process of a coordination store, whichever program it is: started, frozen, thawed, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from appliance.cluster.names import Seconds
from appliance.coordination.store import Store, StoreUnavailable

#: Run as a program of its own: hangs the disk of the folder it is given until its standard input ends, so that
#: the disk is released whatever becomes of the tests. FIFREEZE and FITHAW: linux/fs.h.
_HANG = """
import fcntl, os, select, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(disk, 0xC0045877, 0)
try:
    print("hung", flush=True)
    select.select([sys.stdin], [], [], 60)
finally:
    fcntl.ioctl(disk, 0xC0045878, 0)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class StoreProcess(ABC):
    """What the tests do to a member. Its data outlives `kill`, so `start` continues where it was."""

    folder: Path
    client_port: int
    process: subprocess.Popen[bytes] | None
    #: The data is on a file system of its own, a file behind a loop device, so that its disk can hang (root).
    own_disk: bool = False
    _hanging: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def data(self) -> Path:
        """The folder of its data."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; writes the files that it needs."""

    @abstractmethod
    def store(self, *, deadline: float = 3.0) -> Store:
        """A client of this member alone."""

    @abstractmethod
    def store_of(self, members: Sequence[StoreProcess], *, deadline: float = 3.0) -> Store:
        """A client of several members."""

    @abstractmethod
    def leads(self) -> bool:
        """Whether this member says that it leads; raise when it does not answer."""

    @abstractmethod
    def compact(self, store: Store, revision: int) -> None:
        """Forget the history up to `revision`."""

    @classmethod
    @abstractmethod
    def members_of(cls, folder: Path, pki: Path, count: int) -> Sequence[Self]:
        """Members of one cluster that know each other, not started."""

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.client_port}"

    def start(self) -> None:
        assert self.process is None
        command = self.command()
        if self.own_disk:
            command = self._on_its_disk(command)
        self.process = subprocess.Popen(
            command, env={"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def _on_its_disk(self, command: list[str]) -> list[str]:
        """Mounted in a mount namespace of the server's own: both end with it."""
        image = self.data.with_suffix(".ext4")
        if not image.exists():
            self.data.mkdir(parents=True, exist_ok=True)
            with image.open("wb") as file:
                file.truncate(192 << 20)
            subprocess.run(["mkfs.ext4", "-q", "-d", str(self.data), str(image)], check=True)
        script = 'mount -o loop "$1" "$2" && chmod 700 "$2" && shift 2 && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", str(image), str(self.data), *command]

    def hang_disk(self) -> None:
        """From now on no write of this member ends."""
        assert self.process is not None
        assert self.own_disk
        inside = f"/proc/{self.process.pid}/root{self.data}"
        self._hanging = subprocess.Popen(
            [sys.executable, "-c", _HANG, inside], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._hanging.stdout is not None
        assert self._hanging.stdout.readline() == b"hung\n"

    def release_disk(self) -> None:
        if self._hanging is not None:
            self._hanging.communicate(timeout=20)
            self._hanging = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # its last thread may still answer until then

    def thaw(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as in a crash."""
        self.release_disk()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def wait_until_ready(store: Store, within: float = 20.0) -> None:
    """Poll until the store answers a linearizable read."""
    ends = time.monotonic() + within
    while True:
        try:
            store.get("/ready", deadline=Seconds(1.0))
        except StoreUnavailable:
            if time.monotonic() > ends:
                raise
        else:
            return
