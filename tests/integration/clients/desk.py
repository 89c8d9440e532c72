"""A person's computer: a home folder, the name of the mail server in its hosts file, and the authority it trusts.

Programs run on the lab's network and see a hosts file of their own (a mount
namespace), so that they connect by name and verify that name. Passwords are in
files that only their owner can read, never on a command line.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.mail_clients import Account

#: Another name for the server's address, which its certificate does not hold.
IMPOSTOR = "impostor.posthouse.test"
_WITH_HOSTS = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Done:
    """How a program ended and what it said."""

    status: int
    output: bytes
    errors: bytes

    @property
    def said(self) -> str:
        """Output and errors as text."""
        return (self.output + self.errors).decode(errors="replace")


class ProgramFailed(Exception):
    """A program ended with a status other than 0; the text is what it said."""


@dataclass(frozen=True)
class Desk:
    """`home` is the person's home folder, `server` the server's name, `address` where it is."""

    home: Path
    server: str
    address: str
    ca_file: Path
    hosts: Path = field(init=False)

    def __post_init__(self) -> None:
        names = f"127.0.0.1 localhost\n{self.address} {self.server} {IMPOSTOR}\n"
        object.__setattr__(self, "hosts", self.keep("hosts", names))

    def keep(self, name: str, text: str | bytes) -> Path:
        """Write a file of the home folder that only its owner can read."""
        target = self.home / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def netrc(self, account: Account, server: str | None = None) -> Path:
        """The account's name and password for curl."""
        return self.keep(
            f"netrc-{account.local}",
            f"machine {server or self.server} login {account.address} password {account.password}\n",
        )

    def environment(self) -> dict[str, str]:
        """What its programs inherit, and nothing else."""
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm",
        }

    def command_line(self, program: str, *words: str | Path) -> list[str]:
        """How to start a program so that it knows the server's name."""
        enter = ["unshare", "--mount", "--propagation=private", "sh", "-c", _WITH_HOSTS, "sh", str(self.hosts)]
        return [*enter, program, *map(str, words)]

    def run(
        self,
        program: str,
        *words: str | Path,
        input: bytes = b"",
        allowed: Sequence[int] = (0,),
        timeout: float = _TIMEOUT,
    ) -> Done:
        """Run a program to its end. Raises ProgramFailed unless its status is one of `allowed`."""
        ended = subprocess.run(
            self.command_line(program, *words),
            input=input,
            capture_output=True,
            cwd=self.home,
            env=self.environment(),
            timeout=timeout,
            check=False,
        )
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        if done.status not in allowed:
            raise ProgramFailed(f"{program} ended with status {done.status}\n{done.said}")
        return done
