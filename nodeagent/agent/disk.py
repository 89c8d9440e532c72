"""Room on the node's file systems: bytes and inodes, in levels with hysteresis.

Postfix puts all mail off while less than 1.5 times the largest message is free in its
queue (smtpd_check.c; postconf(5), queue_minfree), so that counts as critical, whatever
the share is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from appliance import paths
from appliance.cluster.names import LOCAL_GROUP, GroupName
from appliance.cluster.report import Notice
from appliance.settings.units import format_size

#: A level is left when the share is this many points below where it began, or the room this much larger.
_SLACK_PERCENT = 2
_SLACK_FACTOR = 1.2
_QUEUE_FACTOR = 1.5


class Level(IntEnum):
    """How bad it is."""

    GOOD = 0
    WARNING = 1
    CRITICAL = 2
    #: Postfix refuses mail for now.
    REFUSING = 3


@dataclass(frozen=True)
class Room:
    """A file system: `free` in bytes for others than root, the shares used in percent (inodes: 0 where there are
    none to run out of). `device` tells file systems apart."""

    path: Path
    device: int
    free: int
    used_percent: int
    inodes_percent: int

    @classmethod
    def of(cls, path: Path) -> Room:
        """What statvfs(3) says; raises OSError."""
        about = os.statvfs(path)
        return cls(
            path,
            path.stat().st_dev,
            about.f_bavail * about.f_frsize,
            _share(about.f_blocks - about.f_bfree, about.f_bavail),
            _share(about.f_files - about.f_ffree, about.f_favail),
        )


@dataclass(frozen=True)
class Limits:
    """From which shares on (percent) the operator is told; `queue` is the room that Postfix needs, in bytes."""

    warning: int
    critical: int
    queue: int = 0

    @classmethod
    def read(cls, settings: Mapping[str, Any], *, queue: bool) -> Limits:
        """The limits that stand in settings."""
        need = int(settings["smtp.message_size_limit"] * _QUEUE_FACTOR) if queue else 0
        return cls(settings["agent.disk_warning_percent"], settings["agent.disk_critical_percent"], need)


def judge(room: Room, limits: Limits, before: Level) -> Level:
    """The level now, when it was `before`: it is left later than entered. Pure."""
    if room.free < limits.queue * (_SLACK_FACTOR if before is Level.REFUSING else 1):
        return Level.REFUSING
    return max(share_level(room.used_percent, limits, before), share_level(room.inodes_percent, limits, before))


def share_level(percent: int, limits: Limits, before: Level) -> Level:
    """The level of one share. Pure."""
    for level, start in ((Level.CRITICAL, limits.critical), (Level.WARNING, limits.warning)):
        if percent >= start - (_SLACK_PERCENT if before >= level else 0):
            return level
    return Level.GOOD


def notice(room: Room, level: Level, limits: Limits) -> Notice | None:
    """What is told of a level."""
    if level is Level.GOOD:
        return None
    facts: dict[str, str | int | float] = {"path": str(room.path), "free": format_size(room.free)}
    if level is Level.REFUSING:
        return Notice(key="disk-refusing", facts={**facts, "need": format_size(limits.queue)}, grave=True)
    kind = "inodes" if room.inodes_percent > room.used_percent else "disk"
    facts["percent"] = max(room.inodes_percent, room.used_percent)
    grave = level is Level.CRITICAL
    key = {("disk", False): "disk-warning", ("disk", True): "disk-critical",
           ("inodes", False): "inodes-warning", ("inodes", True): "inodes-critical"}[kind, grave]  # fmt: skip
    return Notice(key=key, facts=facts, grave=grave)


Place = tuple[Path, Limits]


class DiskWatch:
    """Looks at the root, the agent's own folder and the volumes of the groups that are owned; remembers levels."""

    def __init__(self, owned: Callable[[], Iterable[GroupName]], settings: Callable[[GroupName], Mapping[str, Any]]):
        self._owned = owned
        self._settings = settings
        self._levels: dict[int, Level] = {}

    def look(self, places: Sequence[Place]) -> tuple[Notice, ...]:
        """Look once; may block as long as a file system does. Raises OSError when one does not answer."""
        found: dict[int, tuple[Room, Limits]] = {}
        for path, limits in places:
            try:
                room = Room.of(path)
            except FileNotFoundError:
                continue
            if room.device in found:  # one disk: the strictest need counts, the first name is shown
                room, other = found[room.device]
                found[room.device] = (room, max(limits, other, key=lambda each: each.queue))
            else:
                found[room.device] = (room, limits)
        before, self._levels = self._levels, {}
        notices = []
        for device, (room, limits) in found.items():
            level = self._levels[device] = judge(room, limits, before.get(device, Level.GOOD))
            notices.append(notice(room, level, limits))
        return tuple(each for each in notices if each)

    def places(self) -> tuple[Place, ...]:
        """Where to look. Belongs to the thread that owns the settings."""
        local = Limits.read(self._settings(LOCAL_GROUP), queue=False)
        volumes = (
            (paths.volume(group), Limits.read(self._settings(group), queue=group != LOCAL_GROUP))
            for group in sorted(self._owned())
        )
        return ((Path("/"), local), (paths.STATE, local), *volumes)


def _share(used: int, free: int) -> int:
    """Used percent, rounded up as df(1) does; 0 where nothing is counted."""
    total = used + free
    return -(-100 * used // total) if total > 0 else 0
