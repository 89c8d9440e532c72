"""What the keeper leaves on disk: markers of what is owned now, and which groups are exclusive.

The markers (`/run/posthouse/owned/GROUP`) are what engine units are conditioned
on and what the agent reads. They vanish with a reboot, as ownership does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance import paths
from appliance.cluster.names import GroupName
from nodeagent.ownership.decide import Held

REMEMBERED = paths.STATE / "keeper" / "exclusive.json"
REPORT = paths.RUN / "keeper.json"


def write_atomically(target: Path, text: str, *, mode: int = 0o644, sync: bool = False) -> None:
    """Replace `target` in one step; with `sync` it also survives a power cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    beside.replace(target)
    if sync:
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def mark_owned(group: GroupName, held: Held) -> None:
    """From now on the group's units may start here."""
    write_atomically(paths.owned_marker(group), json.dumps({"exclusive": held.exclusive, "epoch": held.epoch}))


def unmark(group: GroupName) -> None:
    """From now on no unit of the group starts here."""
    paths.owned_marker(group).unlink(missing_ok=True)


def marked() -> dict[GroupName, Held]:
    """What an earlier keeper of this boot owned."""
    if not paths.OWNED.is_dir():
        return {}
    found = {}
    for marker in paths.OWNED.iterdir():
        if not marker.name.startswith("."):
            fields = _read(marker)
            found[GroupName(marker.name)] = Held(bool(fields.get("exclusive")), fields.get("epoch"))
    return found


def remember(held: Mapping[GroupName, Held]) -> None:
    """Note, across reboots, which groups only this node can serve."""
    write_atomically(REMEMBERED, json.dumps(sorted(g for g, h in held.items() if h.exclusive)), sync=True)


def remembered() -> dict[GroupName, Held]:
    """What `remember` noted last."""
    names = _read(REMEMBERED)
    return {GroupName(name): Held(exclusive=True) for name in names} if isinstance(names, list) else {}


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
