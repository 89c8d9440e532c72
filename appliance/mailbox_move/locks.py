"""One at a time: what changes a mailbox's home on this node without being Dovecot holds a lock of it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from appliance import paths
from appliance.errors import Unavailable

_LOCKS: Final = paths.RUN / "moving"


@contextmanager
def held(mailbox_id: str, address: str) -> Iterator[int]:
    """Hold the lock; gives its open file. Raises Unavailable when somebody has it."""
    _LOCKS.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(_LOCKS / mailbox_id, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Unavailable("move-busy", address=address) from None
    try:
        yield lock
    finally:
        os.close(lock)
