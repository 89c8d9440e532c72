"""The auditor of ownership: at most one node holds a group, at any instant. It knows nothing of the product's records.

From outside the nodes, every few milliseconds, it reads what the kernel says: which node has the shared disk mounted
(in whatever mount namespace), on which the group's address is up, on which a process of the group's slice lives. A
frozen node counts in full: it could go on at any moment, until the lab has switched it off. What a switched-off node
had is gone with it: its cable is out, its disk shut down, and the kernel has let go of both before the switch answers.

Runs in a process of its own, so that the load of the tests does not slow it: `python -m tests.load.ownership`.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path

from tests.lab.disk import SharedDisk
from tests.lab.host import Process
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.load.outside import Outside

_EVERY = 0.02
_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")
_CGROUPS = next(each for each in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if each.is_dir())


@dataclass(frozen=True)
class Watched:
    """What is watched of one group; `disk` None: its volume is not on a shared disk."""

    group: str
    addresses: tuple[str, ...] = ()
    disk: str | None = None


class Watchpost:
    """Reads what one node holds of one group."""

    def __init__(self, node: Node, watched: Watched, disk: SharedDisk | None) -> None:
        self.name = node.name
        self._node = node
        self._addresses = {ip_address(each) for each in watched.addresses}
        self._group = watched.group
        self._superblock = disk.superblock(node.name) if disk else None
        self._init: Process | None = None

    def held(self) -> frozenset[str]:
        """The things of the group that the node holds now: volume, address, engines."""
        found = set()
        if self._superblock and self._superblock.exists():
            found.add("volume")
        init = self._living_init()
        if init:
            with suppress(OSError):  # it may end while it is looked at
                if self._addresses and self._addresses & _addresses_of(init.pid):
                    found.add("address")
                if self._runs_engines(init.pid):
                    found.add("engines")
        return frozenset(found)

    def _living_init(self) -> Process | None:
        if self._init is None or not self._init.alive:
            self._init = self._node.init
        return self._init

    def _runs_engines(self, pid: int) -> bool:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        own = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
        slices = _CGROUPS / own.lstrip("/").removesuffix("/init.scope") / "posthouse.slice"
        with suppress(FileNotFoundError):
            return "populated 1" in (slices / f"posthouse-{self._group}.slice" / "cgroup.events").read_text()
        return False


def _addresses_of(pid: int) -> set[object]:
    """The addresses in the network namespace of a process (proc(5): fib_trie, if_inet6)."""
    network = Path(f"/proc/{pid}/net")
    found: set[object] = {ip_address(each) for each in _LOCAL.findall((network / "fib_trie").read_text())}
    found |= {ip_address(int(line.split()[0], 16)) for line in _lines(network / "if_inet6")}
    return found


def _lines(path: Path) -> list[str]:
    with suppress(FileNotFoundError):  # a kernel without IPv6
        return path.read_text().splitlines()
    return []


def holders_now(posts: Sequence[Watchpost]) -> dict[str, frozenset[str]]:
    """What each node holds. When two hold something, the first is asked again: only what it held before and after
    the second was looked at was held by both at one instant."""
    seen = {post.name: post.held() for post in posts}
    if sum(bool(each) for each in seen.values()) > 1:
        again = {post.name: post.held() for post in posts}
        seen = {name: held & again[name] for name, held in seen.items()}
    return seen


@dataclass(frozen=True)
class Violation:
    """Two nodes held something of the group at one instant; `at` is CLOCK_MONOTONIC, seconds."""

    at: float
    held: Mapping[str, Sequence[str]]


@dataclass
class Findings:
    """What was seen. `changes` are (time, node, what it held from then on); `longest_pause` between two looks."""

    looks: int = 0
    longest_pause: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    changes: list[tuple[float, str, tuple[str, ...]]] = field(default_factory=list)

    def holder(self) -> str | None:
        """The node that held something at the last look."""
        last = {node: held for _, node, held in self.changes}
        return next((node for node, held in last.items() if held), None)

    def story(self) -> str:
        """What happened, a line for each change."""
        began = self.changes[0][0] if self.changes else 0.0
        return "\n".join(f"{at - began:8.3f} {node}: {', '.join(held) or 'nothing'}" for at, node, held in self.changes)


class OwnershipAuditor:
    """Watches one group of a lab from `start` to `finish`."""

    def __init__(self, lab: Lab, watched: Watched) -> None:
        self.findings = Findings()
        self._lab = lab
        self._watched = watched
        self._watches = threading.Event()
        self._outside: Outside | None = None

    def start(self) -> OwnershipAuditor:
        """Begin; returns when the nodes are being watched."""
        self._lab.save()
        words = [self._lab.name, json.dumps(asdict(self._watched))]
        self._outside = Outside("tests.load.ownership", words, self._note)
        if not self._watches.wait(20):
            raise TimeoutError("the auditor of ownership does not begin")
        return self

    def finish(self) -> Findings:
        """End, once or again. Raises RuntimeError when the watching process had failed."""
        if self._outside:
            self._outside.finish()
        return self.findings

    def _note(self, line: str) -> None:
        kind, *facts = json.loads(line)
        match kind:
            case "watching":
                self._watches.set()
            case "change":
                self.findings.changes.append((facts[0], facts[1], tuple(facts[2])))
            case "violation":
                self.findings.violations.append(Violation(*facts))
            case "end":
                self.findings.looks, self.findings.longest_pause = facts


def _watch(lab_name: str, watched: Watched, ended: threading.Event) -> None:
    """Look until told to end; print what changes as lines of JSON."""
    lab = Lab.attach(lab_name)
    disk = lab.disks[watched.disk] if watched.disk else None
    posts = [Watchpost(node, watched, disk) for node in lab.nodes.values()]
    before: dict[str, frozenset[str]] = {}
    looks, longest, last = 0, 0.0, time.monotonic()
    print(json.dumps(["watching"]), flush=True)
    while not ended.wait(_EVERY):
        seen = holders_now(posts)
        now = time.monotonic()
        looks, longest, last = looks + 1, max(longest, now - last), now
        for name in seen:
            if seen[name] != before.get(name, frozenset()):
                print(json.dumps(["change", now, name, sorted(seen[name])]), flush=True)
        holding = {name: sorted(held) for name, held in seen.items() if held}
        if len(holding) > 1 and seen != before:
            print(json.dumps(["violation", now, holding]), flush=True)
        before = seen
    print(json.dumps(["end", looks, longest]), flush=True)


def main() -> None:
    """Watch until standard input ends."""
    ended = threading.Event()
    facts = json.loads(sys.argv[2])

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    _watch(sys.argv[1], Watched(facts["group"], tuple(facts["addresses"]), facts["disk"]), ended)


if __name__ == "__main__":
    main()
