"""What a job's process does to a group's volumes and addresses. It may hang: the keeper's loop never waits for it.

Imported by the server of forks.py alone, once there are groups that it can be needed for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from appliance import paths
from appliance.cluster.model import ServiceGroup, VolumeSpec
from appliance.cluster.names import NodeName
from appliance.errors import PosthouseError
from nodeagent.resources import addresses
from nodeagent.resources.volumes import ReservationKey, VolumeDriver, driver, owners_log, volumes_of
from nodeagent.resources.volumes.mounts import mounted_at, mounted_below
from nodeagent.resources.volumes.owners_log import Happened


class WorkRefused(PosthouseError):
    """The keeper must not go on as if nothing was wrong."""


def do(request: Mapping[str, Any]) -> None:
    """Carry out one job; raises PosthouseError."""
    group = ServiceGroup.model_validate_json(request["group"])
    node = NodeName(request["node"])
    epoch = request["epoch"]
    key = ReservationKey(node, epoch) if epoch is not None else None
    volumes = [(spec, driver(spec, node, target)) for spec, target in volumes_of(group, paths.volume(group.name))]
    match request["do"]:
        case "prepare":
            for spec, volume in volumes:
                if spec.reservation and key is not None:
                    volume.prepare(key)
        case "take":
            _take(group, volumes, key, request["below"], clear_mmp=request["clear_mmp"])
            _note(volumes, node, request["owner_epoch"], Happened.ATTACHED)
        case "announce":
            addresses.announce(group.addresses, repeat=True)
        case "readdress":
            addresses.remove([each for each in map(ip_address, request["gone"]) if each not in group.addresses])
            addresses.add(group.addresses)
            addresses.announce(group.addresses)
        case "check":
            for _, volume in volumes:
                volume.check()
        case "look":
            _look(group, volumes, key)
        case "withdraw":
            addresses.remove(group.addresses)
        case "give":
            force = request["force"]
            note = partial(_note, volumes, node, request["owner_epoch"], Happened.DETACHED)
            # a volume that is taken away may hang, or refuse the line
            _give(group, volumes, key, [] if force else [note], force=force)
            if request["unknown"]:
                _nothing_mounted(paths.volume(group.name))


_Volumes = list[tuple[VolumeSpec, VolumeDriver]]


def _take(
    group: ServiceGroup, volumes: _Volumes, key: ReservationKey | None, below: int | None, *, clear_mmp: bool
) -> None:
    for spec, volume in volumes:
        keyed = spec.reservation
        volume.attach(key=key if keyed else None, preempt_below=below if keyed else None, clear_mmp=clear_mmp)
    if group.addresses:
        addresses.add(group.addresses)
        addresses.announce(group.addresses)


def _give(
    group: ServiceGroup, volumes: _Volumes, key: ReservationKey | None, notes: list[Callable[[], None]], *, force: bool
) -> None:
    """Every step is tried, whatever became of the one before; the first error counts.

    Addresses go before anything that may hang; storage keys last, and only when everything is unmounted.
    """
    steps: list[Callable[[], None]] = [partial(addresses.remove, group.addresses)] if group.addresses else []
    steps += notes
    steps += [partial(volume.detach, force=force) for _, volume in reversed(volumes)]
    _all(steps)
    _all([partial(volume.release, key) for spec, volume in reversed(volumes) if spec.reservation])


def _all(steps: list[Callable[[], None]]) -> None:
    errors = []
    for step in steps:
        try:
            step()
        except PosthouseError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _look(group: ServiceGroup, volumes: _Volumes, key: ReservationKey | None) -> None:
    """Raise WorkRefused when a volume takes this owner's writes no longer."""
    for spec, volume in volumes:
        if spec.reservation and key is not None and not volume.key_registered(key):
            raise WorkRefused("storage-key-lost", group=group.name)


def _note(volumes: _Volumes, node: NodeName, epoch: int | None, happened: Happened) -> None:
    """Write on each volume who has it; a line that cannot be written is no reason not to serve."""
    for _, volume in volumes:
        if epoch is not None and volume.mounted():
            with suppress(OSError):
                owners_log.note(volume.target, node, epoch, happened)


def _nothing_mounted(target: Path) -> None:
    left = [*mounted_below(target), *([target] if mounted_at(target) else [])]
    if left:
        raise WorkRefused("volume-left-mounted", path=str(left[0]))
