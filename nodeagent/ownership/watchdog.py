"""The machine's watchdog: a timer that resets it unless petted (Linux, Documentation/watchdog/watchdog-api.rst)."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from appliance import paths
from appliance.cluster.names import Seconds

log = logging.getLogger("posthouse.keeper")

#: linux/watchdog.h: _IOR and _IOWR of type 'W', int.
_SETTIMEOUT, _GETTIMEOUT = 0xC0045706, 0x80045707
_PET, _MAGIC_CLOSE = b"\0", b"V"
_DEFAULT = Path("/dev/watchdog")
#: Stands while this boot's keeper has it armed: a keeper that comes after a dead one then knows that it counts.
ARMED = paths.RUN / "keeper.armed"


class Watchdog(Protocol):
    """What the keeper does with it."""

    def arm(self, timeout: Seconds) -> float | None:
        """Start it, or go on when it counts already; return its time-out as it says itself, None when it cannot."""

    def pet(self) -> None:
        """Let it count anew."""

    def disarm(self) -> None:
        """Stop it, also one that an earlier keeper left counting."""


class DeviceWatchdog:
    """A device like /dev/watchdog. Time-outs are whole seconds; what is asked for is rounded down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._device: int | None = None

    def arm(self, timeout: Seconds) -> float | None:
        try:
            if self._device is None:
                self._device = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
                ARMED.touch()
            fcntl.ioctl(self._device, _SETTIMEOUT, struct.pack("i", int(timeout)))
            return float(struct.unpack("i", fcntl.ioctl(self._device, _GETTIMEOUT, bytes(4)))[0])
        except OSError as error:
            log.critical("the watchdog %s cannot be armed: %s", self.path, error)
            return None

    def pet(self) -> None:
        if self._device is not None:
            os.write(self._device, _PET)

    def disarm(self) -> None:
        if self._device is None:
            if not ARMED.exists():
                return
            self._device = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(self._device, _MAGIC_CLOSE)
        finally:
            os.close(self._device)
            self._device = None
            ARMED.unlink(missing_ok=True)


class NoWatchdog:
    """Where there is none, or none that proves anything."""

    def arm(self, timeout: Seconds) -> float | None:
        return None

    def pet(self) -> None:
        """Nothing counts."""

    def disarm(self) -> None:
        """Nothing counts."""


def choose(wanted: str) -> DeviceWatchdog | None:
    """The watchdog by `watchdog` of node.yaml: `auto`, `none`, or a device.

    None on a virtual machine and in a container, whatever is wanted: what pauses the machine pauses its watchdog
    too, so it proves nothing (docs/developers/takeover.md).
    """
    if wanted == "none":
        return None
    path = _DEFAULT if wanted == "auto" else Path(wanted)
    if not path.exists():
        if wanted != "auto":
            log.error("the watchdog %s of node.yaml is not there", path)
        return None
    if is_virtual():
        log.info("this machine is virtual: its watchdog would stand still with it and is not used")
        return None
    return DeviceWatchdog(path)


def is_virtual() -> bool:
    """Whether systemd-detect-virt(1) says so, or says nothing that can be relied on."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["systemd-detect-virt"], capture_output=True, text=True, timeout=5, check=False)
        return done.stdout.strip() != "none"
    return True
