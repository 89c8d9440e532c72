"""What this machine is, as the protocol has to know it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nodeagent.ownership.watchdog import DeviceWatchdog, NoWatchdog, Watchdog, choose

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class Machine:
    """`boot_id` (random(4)) and `machine_id` (machine-id(5)); `watchdog` is None where none proves anything."""

    boot_id: str
    machine_id: str
    watchdog: DeviceWatchdog | None = None

    @classmethod
    def this(cls, watchdog: str = "none") -> Machine:
        """Read it; `watchdog` as in node.yaml."""
        machine_id = _MACHINE_ID.read_text().strip() if _MACHINE_ID.exists() else ""
        return cls(_BOOT_ID.read_text().strip(), machine_id, choose(watchdog))

    @property
    def watchdog_kind(self) -> str:
        """For people: the device, or `none`."""
        return str(self.watchdog.path) if self.watchdog is not None else "none"

    @property
    def timer(self) -> Watchdog:
        """The watchdog, or one that does nothing."""
        return self.watchdog or NoWatchdog()
