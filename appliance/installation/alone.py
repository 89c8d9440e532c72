"""One `posthouse init` at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import PosthouseError, Unavailable

LOCK = Path("/run/posthouse-init.lock")


class Busy(PosthouseError):
    """Another run has the lock. Not Unavailable: that means, before the set-up, that there is nothing to ask yet."""

    exit_code = Unavailable.exit_code


@contextmanager
def alone(lock: Path = LOCK) -> Iterator[None]:
    """Hold the lock of the set-up; it ends with the process. Raises Busy when another run has it."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy("init-busy") from error
        yield
    finally:
        os.close(handle)
