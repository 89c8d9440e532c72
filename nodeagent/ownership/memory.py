"""What the keeper leaves on disk: markers of what is owned now, what is attached, and what outlives a boot.

The markers (`/run/posthouse/owned/GROUP`) are what engine units are conditioned
on and what the agent reads. They vanish with a reboot, as ownership does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from appliance import durable_files, paths
from appliance.cluster.model import Basis, ServiceGroup
from appliance.cluster.names import GroupName
from appliance.errors import PosthouseError
from nodeagent.ownership.decide import Held

REMEMBERED = paths.STATE / "keeper" / "exclusive.json"
#: Beside it, so that a release before this one still reads the former.
REMEMBERED_ADDRESSES = paths.STATE / "keeper" / "exclusive-addresses.json"
REPORT = paths.RUN / "keeper.json"
#: What may be mounted or registered here, written before it is: a keeper that comes after a dead one undoes it.
ATTACHED = paths.RUN / "attached"


def write_atomically(target: Path, text: str, mode: int = 0o644) -> None:
    """Replace `target` in one step, making its folder first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    durable_files.replace(target, text.encode(), mode)


# --- markers ----------------------------------------------------------------------------------------------


def mark_owned(group: GroupName, held: Held) -> None:
    """From now on the units of an exclusive group may start here."""
    _mark(group, exclusive=held.exclusive, epoch=held.epoch, stage="active", basis=None)


def mark_shared(group: GroupName, epoch: int, basis: Basis | None) -> None:
    """From now on the units of a shared group may start here: it is mounted and has its addresses."""
    _mark(group, exclusive=False, epoch=epoch, stage="active", basis=basis)


def mark_stopping(group: GroupName) -> None:
    """Ask the agent to stop the group's engines; nothing when it was never marked."""
    fields = _read(paths.owned_marker(group))
    if isinstance(fields, dict) and fields:
        _mark(group, **{**fields, "stage": "stopping"})


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


def _mark(group: GroupName, **fields: Any) -> None:
    write_atomically(paths.owned_marker(group), json.dumps(fields))


# --- what is attached -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attached:
    """A group as it was when it was attached; `key_epoch` is that of its storage key."""

    group: ServiceGroup
    key_epoch: int | None


def note_attached(group: ServiceGroup, key_epoch: int | None) -> None:
    """Note that volumes, addresses and a storage key of the group may be here from now on."""
    text = json.dumps({"group": group.model_dump(mode="json"), "key_epoch": key_epoch})
    write_atomically(ATTACHED / group.name, text)


def forget_attached(group: GroupName) -> None:
    """Nothing of it is here."""
    (ATTACHED / group).unlink(missing_ok=True)


def attached() -> dict[GroupName, Attached | None]:
    """What an earlier keeper of this boot noted; None: it cannot be read."""
    if not ATTACHED.is_dir():
        return {}
    found: dict[GroupName, Attached | None] = {}
    for file in ATTACHED.iterdir():
        if not file.name.startswith("."):
            fields = _read(file)
            try:
                found[GroupName(file.name)] = Attached(
                    ServiceGroup.model_validate(fields["group"]), fields.get("key_epoch")
                )
            except (ValueError, KeyError, TypeError, PosthouseError):
                found[GroupName(file.name)] = None
    return found


# --- what outlives a boot ---------------------------------------------------------------------------------


def remember(held: Mapping[GroupName, Held]) -> None:
    """Note, across reboots, which groups only this node can serve; writes only what is new."""
    exclusive = {group: holding for group, holding in held.items() if holding.exclusive}
    if exclusive.keys() != remembered().keys():
        write_atomically(REMEMBERED, json.dumps(sorted(exclusive)))


def remembered() -> dict[GroupName, Held]:
    """What `remember` noted last."""
    names = _read(REMEMBERED)
    return {GroupName(name): Held(exclusive=True) for name in names} if isinstance(names, list) else {}


def remember_addresses(addresses: Mapping[GroupName, Sequence[IPv4Address | IPv6Address]]) -> None:
    """Note, across reboots, the addresses of exclusive groups; writes only what is new."""
    if dict(addresses) != remembered_addresses():
        texts = {group: [str(each) for each in found] for group, found in sorted(addresses.items())}
        write_atomically(REMEMBERED_ADDRESSES, json.dumps(texts))


def remembered_addresses() -> dict[GroupName, tuple[IPv4Address | IPv6Address, ...]]:
    """What `remember_addresses` noted last; empty when it cannot be read."""
    found = _read(REMEMBERED_ADDRESSES)
    try:
        return {GroupName(group): tuple(map(ip_address, texts)) for group, texts in found.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
