"""What the report tells of the machine besides its engines: boot, watchdog, clock."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from appliance import paths
from appliance.cluster.report import WatchdogReport

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KEEPER = paths.RUN / "keeper.json"


@cache
def boot_id() -> str:
    """One boot of the kernel's from another (random(4))."""
    return _BOOT_ID.read_text().strip()


def keeper() -> dict[str, Any]:
    """What the keeper said last; empty when it said nothing that can be read."""
    try:
        found = json.loads(_KEEPER.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def watchdog(said: dict[str, Any]) -> WatchdogReport | None:
    """The watchdog by the keeper's word; None when it has none or says nothing of it. Pure."""
    armed, kind = bool(said.get("watchdog_armed")), said.get("watchdog")
    if not armed and not kind:
        return None
    return WatchdogReport(kind=kind if isinstance(kind, str) else "", armed=armed)
