"""What a node costs while nothing happens: processor time and memory of the agent and the keeper over a minute."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench import stage
from tests.bench.figures import Bar, Figure
from tests.bench.report import Report, Section
from tests.bench.rounds import Spread, short
from tests.bench.side import cpu_seconds
from tests.bench.stage import AGENT, KEEPER, say
from tests.lab import Node

_WINDOW: Final = 60.0
#: After `posthouse init`: the first looks at certificates, clock and disks are over by then.
_SETTLE: Final = 30.0
_WINDOWS_AT_MOST: Final = 3
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_BARS: Final = {"processor": Bar("<", 1.0), "resident": Bar("<", 80.0), "proportional": Bar("<", 80.0)}
_UNITS: Final = {"processor": "% of a core", "resident": "MB", "proportional": "MB"}


@dataclass(frozen=True)
class _Process:
    """A process as this host sees it, and its processor time, with that of children that have ended, in seconds."""

    pid: int

    @property
    def cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    def memory(self, field: str) -> float:
        """A field of smaps_rollup (Rss, Pss), in MB."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{field}:"))


def measure(rounds: int) -> Report:
    """Up to three windows of a minute; the medians count."""
    with stage.lab() as lab:
        node = stage.posthouse(lab).node
        say(f"letting it settle for {_SETTLE:g} s")
        time.sleep(_SETTLE)
        processes = {"agent": _main_process(node, AGENT), "keeper": _main_process(node, KEEPER)}
        values: dict[tuple[str, str], list[float]] = {}
        for number in range(windows := min(rounds, _WINDOWS_AT_MOST)):
            say(f"window {number + 1} of {windows}: {_WINDOW:g} s at rest")
            _window(node, processes, values)
        return _report(values)


def _window(node: Node, processes: dict[str, _Process], values: dict[tuple[str, str], list[float]]) -> None:
    before = {name: process.cpu for name, process in processes.items()}
    node_before, start = cpu_seconds(node), time.monotonic()
    time.sleep(_WINDOW)
    length = time.monotonic() - start
    values.setdefault(("node", "processor"), []).append(100 * (cpu_seconds(node) - node_before) / length)
    for name, process in processes.items():
        values.setdefault((name, "processor"), []).append(100 * (process.cpu - before[name]) / length)
        values.setdefault((name, "resident"), []).append(process.memory("Rss"))
        values.setdefault((name, "proportional"), []).append(process.memory("Pss"))


def _main_process(node: Node, unit: str) -> _Process:
    """The unit's main process, by its number on this host."""
    inside = node.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip()
    init = node.init
    assert init is not None
    namespace = Path(f"/proc/{init.pid}/ns/pid").readlink()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "ns/pid").readlink() == namespace and _inner_pid(folder) == inside:
                return _Process(int(folder.name))
    raise LookupError(f"{unit} does not run")


def _inner_pid(folder: Path) -> str:
    line = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("NSpid:"))
    return line.split()[-1]


def _report(values: dict[tuple[str, str], list[float]]) -> Report:
    report = Report("At rest: after `posthouse init`, no mail, no accounts")
    rows = []
    for name in ("agent", "keeper"):
        spreads = {kind: Spread.of(values[name, kind]) for kind in _BARS}
        rows.append([name, *(str(spread) for spread in spreads.values())])
        report.figures += [
            Figure(f"{name} at rest: {kind}", spread.median, _UNITS[kind], _BARS[kind])
            for kind, spread in spreads.items()
        ]
    node = Spread.of(values["node", "processor"])
    rows.append(["whole node, with engines and systemd", str(node), "", ""])
    report.figures.append(Figure("whole node at rest: processor", node.median, "% of a core"))
    header = ["", "CPU, % of a core", "RSS, MB", "PSS, MB"]
    note = f"CPU with ended children, over {_WINDOW:g} s; limits {', '.join(f'{bar}' for bar in _BARS.values())}."
    report.sections.append(Section("Processor and memory", header, rows, [note, short(_SETTLE) + " s after init."]))
    return report
