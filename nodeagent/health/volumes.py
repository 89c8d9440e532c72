"""Volumes that turn read-only, fill up or hang, noticed within seconds.

The agent gives this the volumes of the groups it owns; every `every` seconds each is
tried by writing a few bytes (`volume_writer`), and the mount table is looked at. What a
volume's answers mean is decided purely (`judge`).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance import paths
from appliance.cluster.model import ServiceGroup, VolumeDriver
from appliance.cluster.names import GroupName, Seconds
from appliance.cluster.report import Notice, VolumeCondition, VolumeReport
from nodeagent.health import volume_writer
from nodeagent.resources.volumes import mounts, volumes_of

log = logging.getLogger("posthouse.agent")

#: How often a volume is tried, and after how many turns without an answer it counts as hanging. Turns are counted,
#: not time: an agent that was stopped itself finds no volume guilty.
EVERY = Seconds(2.0)
MISSES_UNTIL_HANGING = 4
#: With less than this for others than root, engines cannot work.
_LEAST_BYTES = 16 * 1024 * 1024
_LEAST_INODES = 64
#: How long the writer may take to end; one that hangs in the kernel is left behind.
_FAREWELL = 1.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class Watched:
    """A volume: whose, by what name (empty: the group's first one), where, and whether it is a mount."""

    group: GroupName
    name: str
    path: Path
    mount: bool


@dataclass(frozen=True)
class Answer:
    """The writer's latest word. `error` is an errno, 0 when all went well."""

    error: int
    free: int = 0
    inodes_free: int = 0
    inodes: int = 0


@dataclass
class Seen:
    """What is known of a volume. `misses`: turns in a row at which the question before was still open."""

    answer: Answer | None = None
    open: bool = False
    misses: int = 0
    read_only: bool = False
    told: VolumeCondition = field(default=VolumeCondition.UNKNOWN)


def judge(seen: Seen, path: Path) -> tuple[VolumeCondition, Notice | None]:
    """How a volume is, and what the operator is told. Pure."""
    if seen.misses >= MISSES_UNTIL_HANGING:
        return VolumeCondition.HANGING, _grave("volume-hangs", path)
    if seen.answer is None:
        return VolumeCondition.UNKNOWN, None
    if seen.answer.error == volume_writer.NOT_MOUNTED:
        return VolumeCondition.UNKNOWN, _grave("volume-not-mounted", path)
    return _of_answer(seen.answer, seen.read_only or seen.answer.error == errno.EROFS, path)


def _of_answer(answer: Answer, read_only: bool, path: Path) -> tuple[VolumeCondition, Notice | None]:
    if read_only:
        return VolumeCondition.READ_ONLY, _grave("volume-read-only", path)
    if answer.error in _FULL or (answer.error == 0 and _is_full(answer)):
        return VolumeCondition.FULL, _grave("volume-full", path)
    if answer.error:  # the device fails, or an export refuses root: nothing can be written either
        return VolumeCondition.READ_ONLY, _grave("volume-write-failed", path, detail=os.strerror(answer.error))
    return VolumeCondition.WELL, None


def _grave(key: str, path: Path, **facts: str) -> Notice:
    return Notice(key=key, facts={"path": str(path), **facts}, grave=True)


def _is_full(answer: Answer) -> bool:
    few_inodes = answer.inodes > 0 and answer.inodes_free < _LEAST_INODES  # 0: nothing is counted
    return answer.free < _LEAST_BYTES or few_inodes


def watched(groups: Iterable[ServiceGroup], volume: Callable[[GroupName], Path] = paths.volume) -> dict[Path, Watched]:
    """The volumes of groups, by where they are; the first volume of each has no name."""
    found = {}
    for group in groups:
        for position, (spec, target) in enumerate(volumes_of(group, volume(group.name))):
            is_mount = spec.driver is not VolumeDriver.DIRECTORY
            found[target] = Watched(group.name, target.name if position else "", target, is_mount)
    return found


def parse(line: str) -> tuple[Path, Answer]:
    """Read a line of the writer; raises ValueError."""
    path, error, free, inodes_free, inodes = line.split("\t")
    return Path(path), Answer(int(error), int(free), int(inodes_free), int(inodes))


class VolumeWatch:
    """Tries volumes out for as long as `run` runs. `changed` is called when a condition turns."""

    def __init__(
        self, watched: Callable[[], Mapping[Path, Watched]], changed: Callable[[], None], every: Seconds = EVERY
    ) -> None:
        self._watched = watched
        self._changed = changed
        self._every = every
        self._seen: dict[Path, Seen] = {}
        self._volumes: dict[Path, Watched] = {}
        self._writer: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    def reports(self) -> tuple[VolumeReport, ...]:
        """The latest of each volume, in the order of groups and names."""
        found = []
        for path, volume in self._volumes.items():
            condition, problem = judge(self._seen[path], path)
            found.append(VolumeReport(group=volume.group, name=volume.name, condition=condition, problem=problem))
        return tuple(sorted(found, key=lambda each: (each.group, each.name)))

    @property
    def writer(self) -> int | None:
        """The writer's process id while it lives."""
        alive = self._writer is not None and self._writer.returncode is None
        return self._writer.pid if self._writer is not None and alive else None

    @property
    def waits(self) -> bool:
        """Whether a volume had not answered at the last turn."""
        return any(seen.misses for seen in self._seen.values())

    async def run(self) -> None:
        """Try every volume in turn, until cancelled."""
        try:
            while True:
                await self._turn()
                await asyncio.sleep(self._every)
        finally:
            writer = self._writer
            self._abandon()
            if writer is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(writer.wait(), _FAREWELL)

    async def _turn(self) -> None:
        """Count who has not answered, tell what turned, ask again."""
        wanted = self._watched()
        standing = {each.target: each for each in mounts.read()}
        self._volumes = {**self._left_hanging(wanted, standing.keys()), **wanted}
        self._forget({path for path in self._seen if path not in self._volumes})
        read_only = {path for path, mount in standing.items() if mount.read_only}
        for path in self._volumes:
            seen = self._seen.setdefault(path, Seen())
            seen.misses = seen.misses + 1 if seen.open else 0
            seen.read_only = path in read_only
        self._tell()
        asked = [path for path, seen in self._seen.items() if not seen.open]
        if asked:
            await self._ask(asked)

    def _left_hanging(self, wanted: Container[Path], standing: Container[Path]) -> dict[Path, Watched]:
        """What is wanted no more, but has not answered yet and is mounted still: its group cannot be given up.

        It stays in the reports: whoever decides must know why the node does not let go, and cut it off in time.
        """
        return {
            path: volume
            for path, volume in self._volumes.items()
            if path not in wanted and path in standing and self._seen[path].open
        }

    def _forget(self, gone: set[Path]) -> None:
        """A question that still hangs on a volume given up would keep the writer for ever: it gets a successor."""
        stuck = any(self._seen.pop(path).open for path in gone)
        if stuck:
            self._abandon()

    async def _ask(self, asked: list[Path]) -> None:
        writer = await self._started()
        if writer is None or writer.stdin is None:
            return
        for path in asked:
            self._seen[path].open = True
        lines = "".join(f"{int(self._volumes[path].mount)} {path}\n" for path in asked)
        with suppress(OSError):  # it died: noticed at the next turn
            writer.stdin.write(lines.encode("utf-8", "surrogateescape"))

    async def _started(self) -> asyncio.subprocess.Process | None:
        if self._writer is not None and self._writer.returncode is None:
            return self._writer
        self._abandon()
        program = (sys.executable, "-I", "-S", str(Path(volume_writer.__file__)))
        try:
            self._writer = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        except OSError as error:
            log.error("volumes cannot be tried out: %s", error)
            return None
        self._reader = asyncio.create_task(self._read(self._writer))
        return self._writer

    async def _read(self, writer: asyncio.subprocess.Process) -> None:
        assert writer.stdout is not None
        async for line in writer.stdout:
            with suppress(ValueError):
                path, answer = parse(line.decode("utf-8", "surrogateescape").rstrip("\n"))
                if path in self._seen:
                    self._seen[path].answer, self._seen[path].open, self._seen[path].misses = answer, False, 0
            self._tell()

    def _tell(self) -> None:
        """Log what turned, and wake whoever acts on it."""
        turned = False
        for path, seen in self._seen.items():
            condition, problem = judge(seen, path)
            if condition is not seen.told:
                seen.told, turned = condition, True
                if problem is not None:
                    log.error("volume %s is %s", path, condition)
                else:
                    log.info("volume %s is %s", path, condition)
        if turned:
            self._changed()

    def _abandon(self) -> None:
        """Kill the writer, and leave it behind if it hangs in the kernel."""
        if self._reader is not None:
            self._reader.cancel()
        if self._writer is not None and self._writer.returncode is None:
            with suppress(ProcessLookupError):
                self._writer.kill()
        self._writer = self._reader = None
        for path, seen in self._seen.items():
            self._seen[path] = replace(seen, open=False)
