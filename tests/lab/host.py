"""What the lab needs of the machine it runs on: commands, processes, and whether systemd is in charge.

Works on an ordinary Debian host and on a bare one (a container or micro VM
without systemd and D-Bus).
"""

from __future__ import annotations

import os
import shlex
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build"


class LabError(Exception):
    """The lab cannot do what was asked; the text says why and what to do."""


class CommandFailed(LabError):
    """A command ended with a status other than 0. Its text holds the command and all it printed."""

    def __init__(self, command: list[str], status: int, output: str, errors: str) -> None:
        self.status = status
        self.output = output
        self.errors = errors
        super().__init__(f"{shlex.join(command)}\nended with status {status}\n{output}{errors}".rstrip())


def command(*arguments: str, timeout: float = 60.0) -> str:
    """Run a command of the host; return what it printed. Raises CommandFailed."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise CommandFailed(list(arguments), done.returncode, done.stdout, done.stderr)
    return done.stdout


def runs_systemd() -> bool:
    """True when systemd is this host's init (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def require_root() -> None:
    """Raise LabError unless run by root: containers and network namespaces need it."""
    if os.geteuid() != 0:
        raise LabError("containers need root: run this with sudo, or as root")


@dataclass(frozen=True)
class Process:
    """A process that cannot be confused with a later one of the same number."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process of that number, or None when there is none, or only its remains."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Send a signal if it still lives."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def children(self) -> list[Process]:
        """Its child processes."""
        found: list[Process] = []
        try:
            for task in Path(f"/proc/{self.pid}/task").iterdir():
                pids = (task / "children").read_text().split()
                found += [child for pid in pids if (child := Process.of(int(pid)))]
        except (FileNotFoundError, ProcessLookupError):
            return found
        return found


def container_init(supervisor: Process) -> Process | None:
    """The init of the container that a systemd-nspawn process supervises, once it runs."""
    for child in supervisor.children():
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        inside = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(inside) > 1 and inside[-1] == "1":
            return child
    return None
