"""Reads one fence in a process of its own: `python -m controller.fencing.ask`, its question on standard input.

A check comes every few minutes, and unsealing a fence's secrets loads a library of 6 MB that would stay in the
controller for that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from appliance.cluster.decided import FenceSpec
from controller.fencing.desk import READING, Errand, Report, failed, run_errand

#: What starting Python may take beside the reading, seconds.
_START = 20.0


def ask(spec: FenceSpec, sealing_key: Path | None, folders: tuple[str, ...]) -> Report:
    """Read the fence; whatever goes wrong is in the report."""
    if not spec.sealed:
        return run_errand(spec, 0, sealing_key, folders, Errand.READ)
    question = {"spec": spec.model_dump_json(), "key": str(sealing_key or ""), "folders": folders}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(question), capture_output=True, text=True, timeout=READING + _START, check=True,
        )  # fmt: skip
        answer = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return failed(spec, 0, Errand.READ, type(error).__name__)
    return Report(**{**answer, "errand": Errand(answer["errand"])})


def main() -> None:
    """The process."""
    asked = json.loads(sys.stdin.read())
    key = Path(asked["key"]) if asked["key"] else None
    spec = FenceSpec.model_validate_json(asked["spec"])
    report = asdict(run_errand(spec, 0, key, tuple(asked["folders"]), Errand.READ))
    print(json.dumps({**report, "errand": report["errand"].value}))


if __name__ == "__main__":
    main()
