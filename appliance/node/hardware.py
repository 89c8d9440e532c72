"""The machine and its system: vendor, processor, memory, operating system, kernel (H20, H21)."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from appliance.node.commands import ask


@dataclass(frozen=True)
class Machine:
    """`virtualisation` is systemd's word (kvm, systemd-nspawn …), None on bare hardware or where unknown."""

    vendor: str | None
    product: str | None
    serial: str | None
    virtualisation: str | None
    processor: str
    physical_cores: int | None
    logical_cores: int
    architecture: str


@dataclass(frozen=True)
class System:
    """Operating system and kernel; `uptime` in seconds since `booted_at`; load is the mean over 1, 5, 15 minutes."""

    host_name: str
    name: str
    kernel: str
    booted_at: datetime
    uptime: float
    load: tuple[float, float, float]


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    total: int
    available: int
    used: int
    cached: int
    swap_total: int
    swap_used: int


def machine(root: Path = Path("/")) -> Machine:
    """Read the machine; DMI's place-holders of cheap boards count as nothing."""
    kind = (ask("systemd-detect-virt", accept=(0, 1)) or "").strip()
    return Machine(
        vendor=_dmi(root, "sys_vendor"),
        product=_dmi(root, "product_name"),
        serial=_dmi(root, "product_serial"),
        virtualisation=kind if kind not in {"", "none"} else None,
        processor=processor_name(_text(root / "proc/cpuinfo")) or platform.machine(),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count() or 1,
        architecture=platform.machine(),
    )


def system() -> System:
    """Read the operating system. A container's uptime counts from its own first process."""
    booted = psutil.Process(1).create_time()
    kernel = os.uname()
    return System(
        host_name=kernel.nodename,
        name=_os_name(),
        kernel=f"{kernel.sysname} {kernel.release}",
        booted_at=datetime.fromtimestamp(booted, UTC),
        uptime=round(time.time() - booted),
        load=os.getloadavg(),
    )


def memory() -> Memory:
    """Read memory and swap."""
    main, swap = psutil.virtual_memory(), psutil.swap_memory()
    cached = getattr(main, "cached", 0) + getattr(main, "buffers", 0)
    return Memory(main.total, main.available, main.used, cached, swap.total, swap.used)


def processor_name(cpuinfo: str) -> str | None:
    """The model in the text of /proc/cpuinfo; the key differs between architectures."""
    for line in cpuinfo.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() in {"model name", "Processor", "cpu model", "cpu"} and value.strip():
            return " ".join(value.split())
    return None


_PLACE_HOLDERS = frozenset(
    {"", "none", "default string", "not specified", "to be filled by o.e.m.", "system product name"}
)


def _dmi(root: Path, name: str) -> str | None:
    text = _text(root / "sys/class/dmi/id" / name).strip()
    return None if text.lower() in _PLACE_HOLDERS else text


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
