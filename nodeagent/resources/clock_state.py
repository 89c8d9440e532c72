"""Whether a time service runs, and whether the kernel holds the clock to be synchronised."""

from __future__ import annotations

import asyncio
import ctypes

from appliance.cluster.names import Seconds
from appliance.installation.preflight import TIME_UNITS

_STA_UNSYNC = 0x0040
_DEADLINE = Seconds(5.0)


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as `status`; the rest is room for the kernel to write."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def is_synchronised() -> bool:
    """True unless the kernel says STA_UNSYNC; reading needs no capability. True where it cannot be read."""
    state = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state)) < 0:
        return True
    return not state.status & _STA_UNSYNC


async def time_service() -> str | None:
    """The time service that is active, or None."""
    process = await asyncio.create_subprocess_exec(
        "systemctl", "is-active", *TIME_UNITS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(_DEADLINE):
        out, _ = await process.communicate()
    states = out.decode().split()
    return next((unit for unit, state in zip(TIME_UNITS, states, strict=False) if state == "active"), None)
