"""Children of a migration, noted in a file, so that one that outlived its parent is ended before the next run.

Doveadm changes its user, which clears a parent-death signal, and goes on when its parent
is killed; two at work on one mailbox would disturb each other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import Unavailable

_WITHIN = 30.0
_POLL = 0.05


def _started(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None when it is gone or only its remains are there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Children:
    """The running child of one mailbox's migration."""

    def __init__(self, note: Path) -> None:
        self._note = note

    @contextmanager
    def noted(self, process: subprocess.Popen[str]) -> Iterator[None]:
        """Note the process while it runs."""
        draft = self._note.with_suffix(".new")
        draft.write_text(json.dumps([process.pid, _started(process.pid)]))
        draft.replace(self._note)
        try:
            yield
        finally:
            self._note.unlink(missing_ok=True)

    def end_orphan(self) -> bool:
        """End a child that an earlier run left behind; True when there was one. Raises Unavailable if it stays."""
        try:
            pid, started = json.loads(self._note.read_text())
        except (FileNotFoundError, ValueError):
            return False
        alive = started is not None and _started(pid) == started
        until = time.monotonic() + _WITHIN
        while started is not None and _started(pid) == started:
            os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until:
                raise Unavailable("migrate-orphan", pid=pid)
            time.sleep(_POLL)
        self._note.unlink(missing_ok=True)
        return alive
