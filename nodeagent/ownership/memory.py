"""What the keeper leaves on disk: markers of what is owned now, and which groups are exclusive.

The markers (`/run/posthouse/owned/GROUP`) are what engine units are conditioned
on and what the agent reads. They vanish with a reboot, as ownership does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance import durable_files, paths
from appliance.cluster.names import GroupName
from nodeagent.ownership.decide import Held

REMEMBERED = paths.STATE / "keeper" / "exclusive.json"
REPORT = paths.RUN / "keeper.json"


def write_atomically(target: Path, text: str, mode: int = 0o644) -> None:
    """Replace `target` in one step, making its folder first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    durable_files.replace(target, text.encode(), mode)


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
    """Note, across reboots, which groups only this node can serve; writes only what is new."""
    exclusive = {group: holding for group, holding in held.items() if holding.exclusive}
    if exclusive.keys() != remembered().keys():
        write_atomically(REMEMBERED, json.dumps(sorted(exclusive)))


def remembered() -> dict[GroupName, Held]:
    """What `remember` noted last."""
    names = _read(REMEMBERED)
    return {GroupName(name): Held(exclusive=True) for name in names} if isinstance(names, list) else {}


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
