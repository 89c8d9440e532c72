"""Migrations of the past: what they left on the volume, for later runs, and removing it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.cluster.names import GroupName
from appliance.errors import NotFound
from appliance.migration.mail.workplace import locked, root
from appliance.settings.units import about_size


@dataclass(frozen=True)
class Run:
    """The last run of a mailbox. `space` is what its mirror and ledger take on the volume."""

    address: str
    source: str
    ended: str
    messages: int
    complete: bool
    space: str


def runs(group: GroupName) -> list[Run]:
    """Every mailbox's last run that left something, by address."""
    return sorted((_run(folder) for folder in _folders(group)), key=lambda run: run.address)


def _run(folder: Path) -> Run:
    facts = _facts(folder)
    return Run(
        address=str(facts.get("address", folder.name)),
        source=str(facts.get("source", "")),
        ended=str(facts.get("ended", "")),
        messages=int(str(facts.get("messages", 0))),
        complete=bool(facts.get("complete", False)),
        space=about_size(_space(folder)),
    )


def clean(group: GroupName, address: str | None) -> Iterator[str]:
    """Remove what migrations into `address`, or all, left; yield addresses. Raises NotFound, and Unavailable for one
    that is at work."""
    found = False
    for folder in _folders(group):
        name = str(_facts(folder).get("address", folder.name))
        if address is None or name == address.strip().lower():
            found = True
            with locked(folder, name):
                shutil.rmtree(folder)
            yield name
    if not found and address is not None:
        raise NotFound("migrate-nothing-to-clean", address=address)


def _folders(group: GroupName) -> list[Path]:
    try:
        return sorted(path for path in root(group).iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _facts(folder: Path) -> dict[str, object]:
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _space(folder: Path) -> int:
    return sum(
        os.stat(file, dir_fd=handle, follow_symlinks=False).st_size
        for _, _, files, handle in os.fwalk(folder)
        for file in files
    )
