"""How long the controller decides in a large cluster: 500 nodes, 10,000 groups, 10 nodes lost at once."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Final

from appliance.cluster.names import NodeName
from controller.cases import Known
from tests.bench.figures import Bar, Figure
from tests.bench.report import Report, Section
from tests.bench.rounds import Spread
from tests.unit.controller.large import Decided, cluster, decide, lose

_NODES: Final = 500
_GROUPS: Final = 10_000
_LOST: Final = [NodeName(f"n{number:03}") for number in range(0, _NODES, 50)]
_BAR: Final = Bar("<", 1.0)


def measure(rounds: int) -> Report:
    """Groups with three candidates each, and groups that any node may own; quiet, 10 nodes lost, and a cold start."""
    report = Report(f"Deciding for {_NODES} nodes and {_GROUPS:,} groups")
    rows = []
    for kind, anywhere in (("three candidates each", False), ("any node", True)):
        whole = cluster(_NODES, _GROUPS, anywhere=anywhere)
        cold = replace(whole, look=replace(whole.look, owners={}), view=replace(whole.view, tables={
            prefix: table for prefix, table in whole.view.tables.items() if "placements" not in prefix
        }))  # fmt: skip
        situations: tuple[tuple[str, Known, bool, list[NodeName]], ...] = (
            ("nothing happens", whole, False, []),
            ("10 nodes lost, to be fenced", whole, False, _LOST),
            ("10 nodes lost, fenced", whole, True, _LOST),
            ("all groups new", cold, False, []),
        )
        for name, known, fenced, lost in situations:
            passes = []
            for _ in range(rounds):
                gc.collect()
                passes.append(decide(lose(known, lost, fenced=fenced)))
            rows.append(_row(f"{kind}: {name}", passes))
            bar = _BAR if "lost" in name else None
            value = Spread.of([each.total for each in passes]).median
            report.figures.append(Figure(f"{kind}: {name}", value, "s", bar))
    header = ["", "health, ms", "placement, ms", "judging, ms", "all, ms"]
    report.sections.append(Section("One pass of the leader, without the store", header, rows))
    return report


def _row(name: str, passes: list[Decided]) -> list[str]:
    parts = [[each.health for each in passes], [each.placement for each in passes],
             [each.judging for each in passes], [each.total for each in passes]]  # fmt: skip
    return [name, *(str(Spread.of([1000 * value for value in part])) for part in parts)]
