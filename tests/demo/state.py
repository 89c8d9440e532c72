"""What a running demo must remember for the commands that follow: build/demos/NAME/state.json."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.demo.clients import Account
from tests.lab.host import BUILD, Process

#: Which demo: its lab's name and its folder. Another name lets a second one run beside it.
NAME = os.environ.get("POSTHOUSE_DEMO", "demo")
FOLDER = BUILD / "demos" / NAME
FILE = FOLDER / "state.json"
CA_FILE = FOLDER / "ca.crt"
LOAD_FILE = FOLDER / "load.json"


@dataclass(frozen=True)
class State:
    """`ports` maps a port of the group's address to the one on 127.0.0.1 that leads there.

    `probe` is the account that is used to measure outages; `beside` are processes to end with the demo.
    """

    hostname: str
    ports: dict[int, int]
    accounts: tuple[Account, ...]
    probe: Account
    beside: tuple[Process, ...]

    def save(self) -> None:
        """Write it, readable by its owner only: it holds passwords."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        FILE.unlink(missing_ok=True)
        with os.fdopen(os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file)

    @classmethod
    def load(cls) -> State | None:
        """The remembered state, or None."""
        try:
            facts = json.loads(FILE.read_text())
        except FileNotFoundError:
            return None
        ports = {int(node): host for node, host in facts["ports"].items()}
        return cls(
            facts["hostname"],
            ports,
            tuple(Account(**each) for each in facts["accounts"]),
            Account(**facts["probe"]),
            tuple(Process(**each) for each in facts["beside"]),
        )


def shown(path: Path) -> str:
    """A path as a person in the repository's folder would write it."""
    return str(path.relative_to(BUILD.parent))
