"""Boots: this one, the earlier ones in the journal, the kernel's command line, units that failed (H24)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.node.commands import ask


@dataclass(frozen=True)
class BootRecord:
    """A boot in the journal; 0 is the running one, -1 the one before."""

    index: int
    boot_id: str
    first_entry: datetime
    last_entry: datetime


@dataclass(frozen=True)
class FailedUnit:
    """A unit that systemd holds for failed."""

    unit: str
    description: str


@dataclass(frozen=True)
class Boot:
    """`state` is systemd's word (running, degraded, starting …), None where systemd does not run."""

    boot_id: str | None
    kernel_command_line: str
    state: str | None
    failed_units: tuple[FailedUnit, ...]
    earlier: tuple[BootRecord, ...]


_BOOT = re.compile(r"\s*(?P<index>-?\d+)\s+(?P<id>[0-9a-f]{32})\s+(?P<times>.*)")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")
#: How many boots are worth showing.
_SHOWN = 10


def boot(root: Path = Path("/")) -> Boot:
    """Read what is known about boots."""
    # A degraded system is an answer too, and has an exit code of its own.
    state = ask("systemctl", "is-system-running", accept=range(256))
    failed = ask("systemctl", "list-units", "--failed", "--no-pager", "--output=json")
    boots = ask("journalctl", "--list-boots", "--no-pager", "--quiet")
    return Boot(
        boot_id=_line(root / "proc/sys/kernel/random/boot_id").replace("-", "") or None,
        kernel_command_line=_line(root / "proc/cmdline"),
        state=(state or "").strip() or None,
        failed_units=parse_failed_units(failed or ""),
        earlier=parse_boots(boots or "")[-_SHOWN:],
    )


def parse_failed_units(text: str) -> tuple[FailedUnit, ...]:
    """Read `systemctl list-units --failed --output=json`."""
    try:
        rows = json.loads(text)
    except ValueError:
        return ()
    if not isinstance(rows, list):
        return ()
    return tuple(
        FailedUnit(row["unit"], str(row.get("description") or ""))
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("unit"), str)
    )


def parse_boots(text: str) -> tuple[BootRecord, ...]:
    """Read `journalctl --list-boots` in UTC; its heading and separators differ between systemd's releases."""
    found = []
    for line in text.splitlines():
        match = _BOOT.fullmatch(line)
        times = _TIME.findall(match["times"]) if match else []
        if match and len(times) == 2:  # noqa: PLR2004 - first and last entry
            first, last = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in times)
            found.append(BootRecord(int(match["index"]), match["id"], first, last))
    return tuple(found)


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
