"""Asking the system's own programs, with a deadline; no answer is None."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

DEADLINE = 3.0


def ask(*command: str, deadline: float = DEADLINE, accept: Sequence[int] = (0,)) -> str | None:
    """Return what `command` prints, in the C locale and UTC.

    None when it is missing, fails or takes longer than `deadline` seconds. `accept` holds the exit codes that
    count as an answer.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode in accept else None
