"""Running the programs that drivers need: plain and blocking, since the caller is a child with a deadline.

A program ends with its caller (prctl(2), PR_SET_PDEATHSIG): a mount that somebody gave up
must not come true later.
"""

from __future__ import annotations

import subprocess
from collections.abc import Container
from dataclasses import dataclass

_ENDS_WITH_ITS_CALLER = ("setpriv", "--pdeathsig", "KILL", "--")


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said."""

    status: int
    output: str
    errors: str

    @property
    def detail(self) -> str:
        """The first line that says something, for people."""
        said = [line.strip() for line in (self.errors + "\n" + self.output).splitlines() if line.strip()]
        return said[0] if said else f"exit status {self.status}"


class ToolFailed(Exception):
    """A program ended with a status that its caller does not know, or is not installed (status 127)."""

    def __init__(self, program: str, done: Done) -> None:
        self.program = program
        self.done = done
        super().__init__(f"{program}: {done.detail}")


def run(*arguments: str, accept: Container[int] = (0,)) -> Done:
    """Run a program in the C locale; raise ToolFailed unless it ends with an accepted status."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        ended = subprocess.run(
            (*_ENDS_WITH_ITS_CALLER, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            check=False,
        )
        done = Done(ended.returncode, ended.stdout, ended.stderr)
    except OSError as error:
        done = Done(127, "", error.strerror or str(error))
    if done.status not in accept:
        raise ToolFailed(arguments[0], done)
    return done
