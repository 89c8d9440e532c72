"""What jobs do in test_forks.py."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.errors import NotFound


def do(request: Mapping[str, Any]) -> None:
    """By its name."""
    match request["do"]:
        case "go well":
            Path(request["file"]).write_text("done")
        case "fail":
            raise NotFound("no-such-account", name=request["name"])
        case "crash":
            raise ZeroDivisionError
        case "hang":
            time.sleep(600)
        case "leave somebody behind":  # as mount(8) is when its parent is killed
            orphan = subprocess.Popen(["sleep", "600"])
            Path(request["file"]).write_text(str(orphan.pid))
            time.sleep(600)
