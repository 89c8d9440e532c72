"""The clock: time, zone, and whether something keeps it right (H20).

The kernel knows whether a time service disciplines it (adjtimex(2), STA_UNSYNC).
In a container that runs `chronyd -x` the kernel's clock is another machine's
affair, so chrony itself is asked when the kernel says no.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from appliance.node.commands import ask

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5

#: Process name (at most 15 characters, as the kernel keeps it) -> the service it belongs to.
TIME_SERVICES = {
    "chronyd": "chrony",
    "systemd-timesyn": "systemd-timesyncd",
    "systemd-timesyncd": "systemd-timesyncd",
    "ntpd": "ntp",
    "ntpsec": "ntpsec",
    "openntpd": "openntpd",
}


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>; only the first fields are read, the rest is room for the kernel to write."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True)
class Clock:
    """`synchronised` is None where nobody can tell; `reference` is what chrony follows; errors in seconds.

    `offset`, seconds: what chrony has still to correct by its own estimate.
    """

    now: datetime
    zone: str
    synchronised: bool | None
    service: str | None
    reference: str | None = None
    maximum_error: float | None = None
    offset: float | None = None


def read() -> Clock:
    """Read the clock and who keeps it."""
    kernel, error = kernel_state()
    service = time_service(process.info["name"] or "" for process in psutil.process_iter(["name"]))
    tracking = Tracking.parse(ask("chronyc", "-c", "-n", "tracking") or "") if service == "chrony" else None
    synchronised = kernel or (tracking is not None and tracking.synchronised)
    return Clock(
        now=datetime.now().astimezone(),
        zone=zone_name(),
        synchronised=None if kernel is None and tracking is None else synchronised,
        service=service,
        reference=tracking.reference if tracking else None,
        maximum_error=error if kernel else None,
        offset=tracking.offset if tracking else None,
    )


def kernel_state() -> tuple[bool | None, float | None]:
    """Whether the kernel holds its clock for synchronised, and by how many seconds it may be wrong at most."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0:
        return None, None
    return state != _TIME_ERROR and not timex.status & _STA_UNSYNC, timex.maxerror / 1e6


def time_service(process_names: Iterable[str]) -> str | None:
    """The time service among the running processes."""
    return next((TIME_SERVICES[name] for name in process_names if name in TIME_SERVICES), None)


def zone_name(root: Path = Path("/")) -> str:
    """The IANA name of the system's time zone, else its abbreviation."""
    try:
        target = str((root / "etc/localtime").readlink())
    except OSError:
        target = ""
    _, found, name = target.partition("zoneinfo/")
    return name if found else datetime.now().astimezone().tzname() or "UTC"


@dataclass(frozen=True)
class Tracking:
    """What `chronyc -c tracking` says: a CSV line, documented in chronyc(1)."""

    reference: str | None
    synchronised: bool
    offset: float | None = None

    @classmethod
    def parse(cls, text: str) -> Tracking | None:
        """Read the line; None when it is none."""
        fields = text.strip().split(",")
        if len(fields) < 14:  # noqa: PLR2004 - the number of fields of the report
            return None
        address, leap = fields[1], fields[-1]
        try:
            offset = float(fields[4])
        except ValueError:
            offset = None
        return cls(address or None, leap in {"Normal", "Insert second", "Delete second"}, offset)
