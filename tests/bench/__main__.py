"""`python -m tests.bench NAME`: measure, print, write build/bench/NAME.json."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module

from tests.bench.figures import as_json
from tests.bench.report import Report
from tests.lab.host import BUILD, LabError

NAMES = ("mailflow", "imap", "login", "directory", "rest", "failover", "placement", "heartbeats")
#: Fewer rounds are a look, not a measurement: their figures go to NAME-quick.json. A benchmark may name its own FULL.
FULL = 7


def main() -> int:
    """Return the exit status: 0 when it was measured, whatever came out."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure Posthouse against the bare engines.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--rounds", type=int, help=f"interleaved rounds (default {FULL}; failover: 10)")
    given = parser.parse_args()
    module = import_module(f"tests.bench.{given.name}")
    full: int = getattr(module, "FULL", FULL)
    rounds: int = full if given.rounds is None else given.rounds
    if rounds < 1:
        parser.error("--rounds must be at least 1")
    measure: Callable[[int], Report] = module.measure
    try:
        report = measure(rounds)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"\n{report}")
    folder = BUILD / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{given.name}{'' if rounds >= full else '-quick'}.json"
    target.write_text(as_json(report.figures), encoding="utf-8")
    print(f"Written: {target.relative_to(BUILD.parent)}")
    if rounds < full:
        print(f"Only {rounds} rounds: a look, not a measurement.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
