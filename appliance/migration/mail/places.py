"""Which sources are read at all, and by whom."""

from __future__ import annotations

import os
from pathlib import Path

from appliance import paths
from appliance.errors import BadInput, PosthouseError


def require_root() -> None:
    """Raise PosthouseError unless run by root: mail of others is read, and given to the account that owns mail."""
    if os.geteuid() != 0:
        raise PosthouseError("migrate-needs-root")


def require_outside(path: Path) -> Path:
    """`path`, resolved; raises BadInput when it lies on a volume of ours, or contains one."""
    resolved = path.resolve(strict=True)
    for ours in (paths.VOLUMES, paths.STATE):
        volume = ours.resolve()
        if resolved.is_relative_to(volume) or volume.is_relative_to(resolved):
            raise BadInput("path", "migrate-inside-volume", path=str(resolved), volume=str(ours))
    return resolved
