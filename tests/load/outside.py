"""A process of its own beside the tests, that tells what it sees line by line and ends when it is told to.

What watches in time (every 20 or 50 ms) must not wait for the threads of the load.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.lab.host import REPOSITORY

_ENDS_WITHIN = 20.0


class Outside:
    """`python -m MODULE WORDS…`; `told` is called with each line it prints, in a thread. It ends with its input."""

    def __init__(self, module: str, words: list[str], told: Callable[[str], None]) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._told = told
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._told(line)

    def finish(self) -> None:
        """End it, once or again; raise RuntimeError when it had failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        status = self._process.wait(_ENDS_WITHIN)
        self._reader.join(_ENDS_WITHIN)
        self._process.stdout.close()
        if status:
            raise RuntimeError(f"{self._module} ended with status {status}: it saw nothing from then on")
