"""One of the two sides: its node, where its mail and its queue lie, and what its node has cost in processor time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.accounts import Person
from tests.lab import Node, cgroups


@dataclass
class Meter:
    """What a metered block took. `cpu` is all the node's processes', not the load generator's."""

    wall: float = 0.0
    cpu: float = 0.0


@dataclass
class Side:
    """`home` gives an account's home and `spool` Postfix's queue, as paths inside the node."""

    name: str
    node: Node
    home: Callable[[Person], str]
    spool: str
    measured: dict[str, list[float]] = field(default_factory=dict)

    def record(self, what: str, value: float) -> None:
        """Keep a value of one round."""
        self.measured.setdefault(what, []).append(value)

    def inside(self, path: str) -> Path:
        """A path of the node, as this host reaches it."""
        return self.node.root / path.lstrip("/")

    @contextmanager
    def metered(self) -> Iterator[Meter]:
        """Measure the block."""
        meter = Meter()
        cpu, start = cpu_seconds(self.node), time.monotonic()
        yield meter
        meter.wall, meter.cpu = time.monotonic() - start, cpu_seconds(self.node) - cpu

    def queued(self) -> int:
        """How many messages Postfix is about to deliver. Asked in the order in which messages move."""
        spool = self.inside(self.spool)
        return sum(_files(spool / queue) for queue in ("incoming", "active"))

    def deferred(self) -> int:
        """How many messages wait for another attempt."""
        return sum(1 for path in (self.inside(self.spool) / "deferred").rglob("*") if path.is_file())

    def delivered(self, accounts: Iterable[Person]) -> int:
        """How many messages lie in these INBOXes."""
        root = self.inside("/")
        folders = (root / self.home(person).lstrip("/") / "Maildir" / part for person in accounts for part in _PARTS)
        return sum(_files(folder) for folder in folders)


_PARTS = ("new", "cur")


def _files(folder: Path) -> int:
    try:
        return sum(1 for _ in folder.iterdir())
    except FileNotFoundError:
        return 0


def cpu_seconds(node: Node) -> float:
    """Processor time that all processes of the node have used since it booted."""
    for folder in cgroups.folders(node.machine):
        if (folder / "cpuacct.usage").exists():
            return int((folder / "cpuacct.usage").read_text()) / 1e9
        if (folder / "cpu.stat").exists():
            fields = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
            if "usage_usec" in fields:
                return int(fields["usage_usec"]) / 1e6
    raise LookupError(f"no processor accounting of {node.machine}")
