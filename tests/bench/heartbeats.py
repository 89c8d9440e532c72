"""What sessions, reports and controllers' looks cost the store: three real members of etcd, and nodes that are played.

The nodes' keepers, agents and three controllers are played by one process that sends what they send, as often as they
do: each session's renewal every R, each report every HEARTBEAT, the leader's look and renewal, the others' looks.
Needs neither root nor nodes.
"""

from __future__ import annotations

import heapq
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from appliance.cluster import keys
from appliance.cluster.decided import ProtocolTiming
from appliance.cluster.model import Ownership, OwnershipStage, Session
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Store
from appliance.ownership.transactions import open_session, renew_session
from controller.view import Looker
from nodeagent.agent.agent import HEARTBEAT
from tests.bench.figures import Figure
from tests.bench.report import Report, Section
from tests.bench.rounds import Spread, short
from tests.bench.stage import say
from tests.integration.etcd_server import EtcdServer, make_keys, wait_until_ready
from tests.lab import engines

#: One round is one pass over the sizes: the store's own rhythm (100,000 writes a snapshot) is longer than any.
FULL = 1
_NODES: Final = (3, 7, 50, 200, 500)
_GROUPS_PER_NODE: Final = 20
#: A report has about so many bytes for each engine of each group.
_REPORT_BYTES: Final = 450 * 2
_WINDOW: Final = 20.0
_RENEW: Final = ProtocolTiming().renew
_LEADER_RENEWS: Final = 0.8
_LOOKS: Final = (0.5, 1.0, 1.0)
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_DEADLINE: Final = Seconds(5.0)


@dataclass
class Rhythm:
    """Calls that come back at their intervals, spread over them; how long each took, by kind, in seconds."""

    took: dict[str, list[float]] = field(default_factory=dict)
    late: float = 0.0
    _due: list[tuple[float, int, float, str, Callable[[], object]]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)

    def add(self, kind: str, every: float, first: float, call: Callable[[], object]) -> None:
        """Have `call` made every so many seconds, at first after `first`."""
        heapq.heappush(self._due, (first, next(self._order), every, kind, call))

    def play(self, seconds: float) -> None:
        """Make the calls for so long; `late` is how far the last one was behind its time."""
        self.took.clear()
        begun = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            while (now := time.monotonic() - begun) < seconds:
                due, _, every, kind, call = self._due[0]
                if due > now:
                    time.sleep(min(due - now, seconds - now))
                    continue
                heapq.heapreplace(self._due, (due + every, next(self._order), every, kind, call))
                pool.submit(self._timed, kind, call)
            self.late = max(0.0, now - self._due[0][0])
        self._due = [(due - seconds, *rest) for due, *rest in self._due]  # type: ignore[misc]
        heapq.heapify(self._due)

    def _timed(self, kind: str, call: Callable[[], object]) -> None:
        began = time.monotonic()
        call()
        self.took.setdefault(kind, []).append(time.monotonic() - began)


@dataclass(frozen=True)
class _Cost:
    """Processor seconds and bytes written by one member."""

    cpu: float
    written: int

    @classmethod
    def of(cls, member: EtcdServer) -> _Cost:
        assert member.process is not None
        folder = Path(f"/proc/{member.process.pid}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        lines = (folder / "io").read_text().splitlines()
        written = next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
        return cls(sum(map(int, fields[11:13])) / _TICKS, written)


def measure(rounds: int) -> Report:
    """Each size in turn, on one store that grows."""
    engines.offer("etcd")
    rows, figures = [], []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        pki = Path(folder) / "pki"
        make_keys(pki)
        members = EtcdServer.members_of(Path(folder), pki, 3)
        for member in members:
            member.start()
            stack.callback(member.kill)
        stores = [stack.enter_context(members[0].store_of([member], deadline=_DEADLINE)) for member in members]
        wait_until_ready(stores[0])
        rhythm, nodes = Rhythm(), 0
        _controllers(rhythm, stores)
        for size in _NODES:
            say(f"{size} nodes, {size * _GROUPS_PER_NODE} groups: {_WINDOW:g} s")
            for number in range(nodes, size):
                _node(rhythm, stores[number % 3], number)
            nodes = size
            row, more = _window(size, rhythm, members)
            rows.append(row)
            figures += more
    header = ["nodes", "groups", "renewals/s", "renewal p50, ms", "p99, ms", "leader's look, ms",
              "busiest member, % of a core", "written, kB/s", "played late, s"]  # fmt: skip
    note = f"Sessions every {_RENEW:g} s, reports every {HEARTBEAT:g} s. The players share the machine."
    report = Report("Heartbeats: what a quiet cluster costs the store", figures=figures)
    report.sections.append(Section("Three members on one machine", header, rows, ["", note]))
    return report


def _controllers(rhythm: Rhythm, stores: Sequence[Store]) -> None:
    for every, store in zip(_LOOKS, stores, strict=True):
        looker = Looker()
        kind = "leader looks" if every == min(_LOOKS) else "others look"
        rhythm.add(kind, every, every, lambda looker=looker, store=store: looker.look(store, _DEADLINE, time.monotonic))  # type: ignore[misc]
    rhythm.add("lead", _LEADER_RENEWS, 0.0, lambda: stores[0].put(keys.LEADER, "{}"))


def _node(rhythm: Rhythm, store: Store, number: int) -> None:
    """A session, the ownership of its groups, and its heartbeats from now on."""
    session = Session(node=NodeName(f"n{number:03}"), boot_id=f"boot-{number}", machine_id=f"machine-{number}")
    epoch = open_session(session).send(store, _DEADLINE).revision
    for place in range(_GROUPS_PER_NODE):
        group = GroupName(f"g{number:03}x{place:02}")
        owner = Ownership(group=group, node=session.node, session_epoch=epoch, stage=OwnershipStage.CONFIRMED)
        store.put(keys.owner(group), owner.model_dump_json())
    report = "x" * (_REPORT_BYTES * _GROUPS_PER_NODE)
    rhythm.add("renewal", _RENEW, number * 0.37 % _RENEW, lambda: renew_session(session, epoch).send(store, _DEADLINE))
    rhythm.add("report", HEARTBEAT, number * 1.7 % HEARTBEAT, lambda: store.put(keys.status(session.node), report))


def _window(size: int, rhythm: Rhythm, members: list[EtcdServer]) -> tuple[list[str], list[Figure]]:
    before = [_Cost.of(member) for member in members]
    began = time.monotonic()
    rhythm.play(_WINDOW)
    length = time.monotonic() - began
    after = [_Cost.of(member) for member in members]
    cpu = max(100 * (now.cpu - then.cpu) / length for then, now in zip(before, after, strict=True))
    written = max((now.written - then.written) / length for then, now in zip(before, after, strict=True))
    renewals = sorted(1000 * each for each in rhythm.took["renewal"])
    p99 = renewals[min(len(renewals) - 1, int(len(renewals) * 0.99))]
    look = Spread.of([1000 * each for each in rhythm.took["leader looks"]])
    values = [len(renewals) / length, Spread.of(renewals).median, p99]
    row = [str(size), f"{size * _GROUPS_PER_NODE:,}", *map(short, values), str(look),
           short(cpu), short(written / 1000), short(rhythm.late)]  # fmt: skip
    return row, [
        Figure(f"{size} nodes: busiest member of the store", cpu, "% of a core"),
        Figure(f"{size} nodes: renewal p99", p99, "ms"),
        Figure(f"{size} nodes: written by a member", written / 1000, "kB/s"),
    ]
