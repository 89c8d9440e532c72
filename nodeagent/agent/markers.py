"""The keeper's word on each group of this node, as the agent reads it: docs/developers/cluster.md.

A marker that stands and cannot be read counts as active: that the group runs here is said by its standing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from appliance import paths
from appliance.cluster.model import Basis
from appliance.cluster.names import GroupName


class Stage(StrEnum):
    """What a marker asks for."""

    ACTIVE = "active"
    #: The engines are to end; the keeper then takes marker, addresses and volumes away.
    STOPPING = "stopping"


@dataclass(frozen=True)
class Marker:
    """`epoch` is the group epoch, None while the group is held without the store; `basis`: why this node got it."""

    stage: Stage = Stage.ACTIVE
    epoch: int | None = None
    basis: Basis | None = None
    exclusive: bool = False

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Marker:
        """Read a marker's fields; what a newer keeper may say in another way counts as not said. Pure."""
        epoch, basis = fields.get("epoch"), fields.get("basis")
        return cls(
            stage=Stage.STOPPING if fields.get("stage") == Stage.STOPPING else Stage.ACTIVE,
            epoch=epoch if isinstance(epoch, int) else None,
            basis=next((each for each in Basis if each == basis), None),
            exclusive=bool(fields.get("exclusive")),
        )


def standing() -> dict[GroupName, Marker]:
    """Every group whose marker stands."""
    found = {}
    try:
        files = [file for file in paths.OWNED.iterdir() if not file.name.startswith(".")]
    except FileNotFoundError:
        return {}
    for file in files:
        marker = _read(file)
        if marker is not None:
            found[GroupName(file.name)] = marker
    return found


def active() -> dict[GroupName, Marker]:
    """The groups whose engines may run here."""
    return {group: marker for group, marker in standing().items() if marker.stage is Stage.ACTIVE}


def _read(file: Path) -> Marker | None:
    try:
        fields = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        fields = None
    return Marker.of(fields if isinstance(fields, dict) else {})
