"""CLOCK_BOOTTIME: runs on through suspend and never jumps (clock_gettime(2)). Wall-clock time decides nothing."""

from __future__ import annotations

import time


def boottime() -> float:
    """Seconds since boot, suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
