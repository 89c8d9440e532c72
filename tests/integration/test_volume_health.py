"""Volumes that break under the agent's eyes: read-only, full, hanging, gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.cluster.model import Filesystem
from appliance.cluster.names import GroupName, Seconds
from appliance.cluster.report import VolumeCondition, VolumeReport
from nodeagent.health.volumes import VolumeWatch, Watched
from nodeagent.resources.volumes import mounts
from nodeagent.resources.volumes.filesystem import DeviceFilesystem
from tests.integration.own_mounts import EXT4_WITH_MMP, loop_devices, make_image, own_mounts
from tests.lab import wait_until
from tests.lab.host import command

#: Short turns: what counts is the order of things, not the time.
TURN = Seconds(0.05)


class Volume:
    """A mounted volume, and what can happen to it."""

    def __init__(self, device: Path, target: Path) -> None:
        self.device = device
        self.target = target
        self.filesystem = DeviceFilesystem(device, target, Filesystem.EXT4)

    def mount(self) -> None:
        self.filesystem.mount(mmp=True, clear_mmp=False)

    def freeze(self) -> None:
        """Every write waits for ever."""
        command("fsfreeze", "--freeze", str(self.target))

    def thaw(self) -> None:
        command("fsfreeze", "--unfreeze", str(self.target))

    def break_device(self) -> None:
        (Path("/sys/fs/ext4") / self.device.name / "trigger_fs_error").write_text("a test's doing")

    def fill(self) -> Path:
        filler = self.target / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1 << 20)):
                pass
        return filler

    def use_inodes(self) -> Path:
        folder = self.target / "many"
        folder.mkdir()
        while os.statvfs(self.target).f_favail:
            (folder / str(os.statvfs(self.target).f_favail)).touch()
        return folder


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    with own_mounts(tmp_path):
        image = make_image(tmp_path / "lun", 48, *EXT4_WITH_MMP, "-N", "1024")
        with loop_devices(image, 1) as (device,):
            made = Volume(device, tmp_path / "mail")
            made.mount()
            yield made
            for target in mounts.mounted_below(tmp_path):
                mounts.unmount(target, force=False, patience=5.0)


class Agent:
    """The part of the agent that looks at volumes."""

    def __init__(self, volume: Volume) -> None:
        self.volumes = {volume.target: Watched(GroupName("mail"), "", volume.target, mount=True)}
        self.turned = asyncio.Event()
        self.watch = VolumeWatch(lambda: self.volumes, self.turned.set, TURN)

    async def sees(self, condition: VolumeCondition) -> VolumeReport:
        """Wait until the volume is reported so."""
        async with asyncio.timeout(20):
            while True:
                self.turned.clear()
                found = self.watch.reports()
                if found and found[0].condition is condition:
                    return found[0]
                await self.turned.wait()

    async def tells(self, **conditions: VolumeCondition) -> None:
        """Wait until the groups are reported so, and no others."""

        def said() -> bool:
            return {each.group: each.condition for each in self.watch.reports()} == conditions

        await asyncio.to_thread(wait_until, f"it says {conditions}", said, every=TURN)


def watching(volume: Volume, story: Callable[[Agent], Awaitable[None]]) -> None:
    """Run the story beside the watch."""

    async def both() -> None:
        agent = Agent(volume)
        task = asyncio.create_task(agent.watch.run())
        try:
            await agent.sees(VolumeCondition.WELL)
            await story(agent)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(both())


def test_a_volume_that_hangs_is_noticed_and_so_is_its_recovery(volume: Volume) -> None:
    async def story(agent: Agent) -> None:
        volume.freeze()
        try:
            report = await agent.sees(VolumeCondition.HANGING)
            assert report.problem is not None
            assert report.problem.key == "volume-hangs"
            assert report.problem.grave
        finally:
            volume.thaw()
        report = await agent.sees(VolumeCondition.WELL)
        assert report.problem is None

    watching(volume, story)


def test_one_hanging_volume_does_not_hide_another(volume: Volume, tmp_path: Path) -> None:
    async def story(agent: Agent) -> None:
        other = tmp_path / "other"
        other.mkdir()
        volume.freeze()
        try:
            await agent.sees(VolumeCondition.HANGING)
            agent.volumes[other] = Watched(GroupName("other"), "", other, mount=False)
            while len(found := agent.watch.reports()) < 2 or found[1].condition is not VolumeCondition.WELL:
                agent.turned.clear()
                async with asyncio.timeout(20):
                    await agent.turned.wait()
            assert found[0].condition is VolumeCondition.HANGING
        finally:
            volume.thaw()

    watching(volume, story)


def test_a_volume_that_hangs_is_told_until_it_is_given_up_for_certain(volume: Volume, tmp_path: Path) -> None:
    """Its group is to move, and cannot: the controller has to go on knowing why."""

    async def story(agent: Agent) -> None:
        other = tmp_path / "other"
        other.mkdir()
        volume.freeze()
        try:
            await agent.sees(VolumeCondition.HANGING)
            agent.volumes = {other: Watched(GroupName("other"), "", other, mount=False)}
            await agent.tells(mail=VolumeCondition.HANGING, other=VolumeCondition.WELL)
        finally:
            volume.thaw()
        volume.filesystem.unmount(force=False, patience=5.0)
        await agent.tells(other=VolumeCondition.WELL)

    watching(volume, story)


def test_a_group_that_is_given_up_before_its_volume_counts_as_hanging_is_told_of_all_the_same(volume: Volume) -> None:
    async def story(agent: Agent) -> None:
        volume.freeze()
        try:
            await asyncio.to_thread(wait_until, "it does not answer", lambda: agent.watch.waits, every=TURN / 5)
            agent.volumes = {}
            await agent.tells(mail=VolumeCondition.HANGING)
        finally:
            volume.thaw()
        await agent.tells()

    watching(volume, story)


def test_a_volume_that_turns_read_only_is_noticed(volume: Volume) -> None:
    async def story(agent: Agent) -> None:
        volume.break_device()
        report = await agent.sees(VolumeCondition.READ_ONLY)
        assert report.problem is not None
        assert report.problem.key == "volume-read-only"

    watching(volume, story)


@pytest.mark.parametrize("how", [Volume.fill, Volume.use_inodes], ids=["bytes", "inodes"])
def test_a_full_volume_is_noticed_and_so_is_new_room(volume: Volume, how: Callable[[Volume], Path]) -> None:
    async def story(agent: Agent) -> None:
        filler = how(volume)
        report = await agent.sees(VolumeCondition.FULL)
        assert report.problem is not None
        assert report.problem.key == "volume-full"
        command("rm", "-r", str(filler))
        await agent.sees(VolumeCondition.WELL)

    watching(volume, story)


def test_nothing_is_written_beside_a_volume_that_is_not_mounted(volume: Volume) -> None:
    async def story(agent: Agent) -> None:
        volume.filesystem.unmount(force=False, patience=5.0)
        report = await agent.sees(VolumeCondition.UNKNOWN)
        assert report.problem is not None
        assert report.problem.key == "volume-not-mounted"
        assert list(volume.target.iterdir()) == []
        volume.mount()
        await agent.sees(VolumeCondition.WELL)

    watching(volume, story)


def test_a_writer_that_dies_gets_a_successor(volume: Volume) -> None:
    async def story(agent: Agent) -> None:
        writer = agent.watch.writer
        assert writer is not None
        os.kill(writer, 9)
        await asyncio.to_thread(wait_until, "a successor", lambda: agent.watch.writer not in {writer, None}, every=TURN)
        await agent.sees(VolumeCondition.WELL)

    watching(volume, story)
