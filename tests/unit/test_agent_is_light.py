"""What stays in memory on every server for as long as it runs: large libraries that are used now and then are not."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: The library, and what it takes, in MB. What needs it is a program of its own, or imports it where it is called.
LARGE = {"cryptography": 7, "pyroute2": 15, "kazoo": 2, "click": 2}


@pytest.mark.parametrize("program", ["nodeagent.agent.main", "nodeagent.ownership.main", "controller.main"])
def test_a_program_that_always_runs_holds_no_large_library_for_now_and_then(program: str) -> None:
    code = f"import sys, {program}; print(*sorted({{each.partition('.')[0] for each in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    held = LARGE.keys() & set(loaded.stdout.split())
    assert not held
