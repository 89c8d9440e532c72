"""What the report tells of the machine besides its engines: boot, watchdog, clock, and what the keeper has to say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance import paths
from appliance.cluster.names import GroupName
from appliance.cluster.report import Notice, WatchdogReport

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


def notices(said: Mapping[str, Any]) -> Iterator[Notice]:
    """What the keeper says is not as it should be. Pure."""
    for group, told in _table(said, "groups").items():
        if isinstance(told, dict):
            if (fault := _notice(told.get("fault"))) is not None:
                yield fault
            if told.get("volume_changed"):
                yield Notice(key="group-volume-changed", facts={"group": group})
    for faults in ("address_faults", "standby_volumes"):
        for told in _table(said, faults).values():
            if (fault := _notice(told)) is not None:
                yield fault


def standby_volumes(said: Mapping[str, Any]) -> dict[GroupName, Notice]:
    """Why this node could not attach the volumes of groups that it may have to take. Pure."""
    found = {GroupName(group): _notice(told) for group, told in _table(said, "standby_volumes").items()}
    return {group: notice for group, notice in found.items() if notice is not None}


def _table(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}


def _notice(told: object) -> Notice | None:
    """A fault as the keeper tells it; one of an older keeper has no facts."""
    if not isinstance(told, dict):
        return None
    try:
        return Notice(key=told["key"], facts=told.get("facts", {}))
    except (KeyError, ValidationError):
        return None


def watchdog(said: dict[str, Any]) -> WatchdogReport | None:
    """The watchdog by the keeper's word; None when it has none or says nothing of it. Pure."""
    armed, kind = bool(said.get("watchdog_armed")), said.get("watchdog")
    if not armed and not kind:
        return None
    return WatchdogReport(kind=kind if isinstance(kind, str) else "", armed=armed)
