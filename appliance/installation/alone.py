"""One `posthouse init` at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import Unavailable

LOCK = Path("/run/posthouse-init.lock")


@contextmanager
def alone(lock: Path = LOCK) -> Iterator[None]:
    """Hold the lock of the set-up; it ends with the process. Raises Unavailable when another run has it."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable("init-busy") from error
        yield
    finally:
        os.close(handle)
