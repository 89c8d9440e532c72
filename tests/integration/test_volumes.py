"""Volumes on real block devices: two nodes are two loop devices over one image."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.cluster import model
from appliance.cluster.model import Filesystem, VolumeSpec
from appliance.cluster.names import NodeName, Seconds
from appliance.engines.base import Directory
from appliance.engines.folders import make_directories
from nodeagent.resources.volumes import VolumeDriver, VolumeFault, driver, ext4, mounts, owners_log, tools
from nodeagent.resources.volumes.owners_log import Happened
from tests.integration.own_mounts import EXT4_WITH_MMP, loop_devices, make_image, own_mounts
from tests.lab import wait_until
from tests.lab.host import command

ONE, OTHER = NodeName("one"), NodeName("other")
SHORT = Seconds(0.3)


@dataclass(frozen=True)
class Lun:
    """One image, as each of two nodes sees it."""

    image: Path
    devices: list[Path]
    folder: Path

    def on(
        self, node: NodeName, filesystem: Filesystem = Filesystem.EXT4, options: tuple[str, ...] = ()
    ) -> VolumeDriver:
        """The volume's driver on the node."""
        sources = {ONE: str(self.devices[0]), OTHER: str(self.devices[1])}
        spec = VolumeSpec(driver=model.VolumeDriver.BLOCK, sources=sources, filesystem=filesystem, options=options)
        return driver(spec, node, self.folder / node)

    def superblock(self, node: NodeName) -> Path:
        """The mounted file system as the kernel shows it."""
        return Path("/sys/fs/ext4") / self.devices[[ONE, OTHER].index(node)].name


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Path]:
    with own_mounts(tmp_path):
        yield tmp_path


@pytest.fixture
def lun(space: Path) -> Iterator[Lun]:
    image = make_image(space / "lun", 32, *EXT4_WITH_MMP)
    with loop_devices(image, 2) as devices:
        yield Lun(image, devices, space)
        for target in mounts.mounted_below(space):
            mounts.unmount(target, force=False, patience=5.0)


def attach(volume: VolumeDriver, *, clear_mmp: bool = False) -> None:
    volume.attach(key=None, preempt_below=None, clear_mmp=clear_mmp)


def refusal(volume: VolumeDriver, *, clear_mmp: bool = False) -> VolumeFault:
    with pytest.raises(VolumeFault) as caught:
        attach(volume, clear_mmp=clear_mmp)
    return caught.value


def test_a_volume_moves_from_node_to_node_with_what_was_written(lun: Lun) -> None:
    one, other = lun.on(ONE), lun.on(OTHER)
    other.check()  # before the first owner writes: nothing of this look may be remembered
    attach(one)
    (lun.folder / ONE / "letter").write_text("arrived")
    other.check()  # while another node has it
    one.detach(force=False)
    assert not one.mounted()
    attach(other)
    assert other.mounted()
    assert (lun.folder / OTHER / "letter").read_text() == "arrived"


def test_volumes_run_no_programs_and_go_read_only_at_the_first_error(lun: Lun) -> None:
    attach(lun.on(ONE))
    found = mounts.mounted_at(lun.folder / ONE)
    assert found is not None
    assert found.options >= {"rw", "nodev", "nosuid", "noexec", "noatime", "errors=remount-ro"}


def test_the_operators_own_mount_options_win(lun: Lun) -> None:
    attach(lun.on(ONE, options=("exec",)))
    found = mounts.mounted_at(lun.folder / ONE)
    assert found is not None
    assert "noexec" not in found.options


def test_attaching_and_detaching_again_changes_nothing(lun: Lun) -> None:
    volume = lun.on(ONE)
    attach(volume)
    attach(volume)
    volume.detach(force=False)
    assert not volume.mounted()
    volume.detach(force=False)


def test_a_second_node_is_refused_and_told_who_has_the_volume(lun: Lun) -> None:
    attach(lun.on(ONE))
    fault = refusal(lun.on(OTHER))
    assert fault.key == "volume-in-use"
    assert fault.facts["node"] == os.uname().nodename
    assert not lun.on(OTHER).mounted()


def power_cut(lun: Lun, target: Path) -> None:
    """Leave the image as a node does that loses its power while it has the volume mounted."""
    cut = lun.image.with_suffix(".cut")
    (target / "accepted").write_text("250")
    command("sync", "--file-system", str(target))
    cut.write_bytes(lun.image.read_bytes())
    lun.on(ONE).detach(force=False)
    with lun.image.open("r+b") as image:
        image.write(cut.read_bytes())


def test_what_a_dead_node_left_locked_is_unlocked_only_when_its_death_is_proven(lun: Lun) -> None:
    attach(lun.on(ONE))
    power_cut(lun, lun.folder / ONE)
    superblock = ext4.parse_superblock(ext4.read_direct(lun.devices[1]))
    assert superblock is not None
    left = ext4.read_mmp(lun.devices[1], superblock)
    assert left is not None
    assert not left.clean
    other = lun.on(OTHER)
    attach(other, clear_mmp=True)
    assert (lun.folder / OTHER / "accepted").read_text() == "250"
    held = ext4.read_mmp(lun.devices[1], superblock)
    assert held is not None
    assert not held.clean, "the new owner is protected in its turn"


def test_protection_is_never_cleared_under_a_mount_of_this_very_node(lun: Lun) -> None:
    attach(lun.on(ONE))
    spec = VolumeSpec(driver=model.VolumeDriver.BLOCK, source=str(lun.devices[0]))
    fault = refusal(driver(spec, ONE, lun.folder / "elsewhere"), clear_mmp=True)
    assert fault.key == "volume-mounted-elsewhere"
    assert fault.facts["holders"] == str(lun.folder / ONE)


def test_ext4_without_multi_mount_protection_is_refused_with_the_way_out(space: Path) -> None:
    image = make_image(space / "plain", 16, "mkfs.ext4", "-q")
    with loop_devices(image, 2) as devices:
        volume = Lun(image, devices, space).on(ONE)
        with pytest.raises(VolumeFault) as caught:
            volume.check()
        assert f"tune2fs -O mmp {devices[0]}" in str(caught.value)
        assert refusal(volume).key == "volume-without-mmp"
        assert not volume.mounted()
        command("tune2fs", "-O", "mmp", str(devices[0]))
        volume.check()


@pytest.mark.parametrize(
    ("source", "key"),
    [("/dev/nothing-here", "volume-device-missing"), ("/dev/null", "volume-no-block-device")],
)
def test_what_is_no_device_is_refused(space: Path, source: str, key: str) -> None:
    volume = driver(VolumeSpec(driver=model.VolumeDriver.BLOCK, source=source), ONE, space / "target")
    with pytest.raises(VolumeFault) as caught:
        volume.check()
    assert caught.value.key == key
    assert refusal(volume).key == key


def test_another_file_system_than_was_said_is_refused(lun: Lun) -> None:
    volume = lun.on(ONE, Filesystem.XFS)
    with pytest.raises(VolumeFault) as caught:
        volume.check()
    assert caught.value.key == "volume-wrong-filesystem"
    assert refusal(volume).key == "volume-wrong-filesystem"


def test_xfs_volumes_move_too(space: Path) -> None:
    image = make_image(space / "xfs", 320, "mkfs.xfs", "-q")
    with loop_devices(image, 2) as devices:
        lun = Lun(image, devices, space)
        one, other = (lun.on(node, Filesystem.XFS) for node in (ONE, OTHER))
        other.check()
        attach(one)
        (space / ONE / "letter").write_text("arrived")
        one.detach(force=False)
        attach(other)
        assert (space / OTHER / "letter").read_text() == "arrived"
        other.detach(force=False)
        assert not one.promise.refuses_second_mount


def test_a_busy_volume_is_not_given_up_and_its_users_are_named(lun: Lun) -> None:
    volume = lun.on(ONE)
    attach(volume)
    with (lun.folder / ONE / "open").open("w"):
        with pytest.raises(VolumeFault) as caught:
            volume.detach(force=False, patience=SHORT)
        assert caught.value.key == "volume-busy"
        assert caught.value.facts["holders"].endswith(f"({os.getpid()})")
        assert volume.mounted(), "never lazily"
    volume.detach(force=False)


def test_a_mount_below_a_volume_is_named_as_what_keeps_it(lun: Lun) -> None:
    volume = lun.on(ONE)
    attach(volume)
    below = lun.folder / ONE / "below"
    below.mkdir()
    command("mount", "-t", "tmpfs", "tmpfs", str(below))
    with pytest.raises(VolumeFault) as caught:
        volume.detach(force=False, patience=SHORT)
    assert caught.value.facts["holders"] == str(below)
    assert mounts.mounted_below(lun.folder) == (below, lun.folder / ONE)


def test_a_volume_that_was_mounted_twice_at_its_place_is_given_up_whole(lun: Lun) -> None:
    volume = lun.on(ONE)
    attach(volume)
    command("mount", "--bind", str(lun.folder / ONE), str(lun.folder / ONE))
    volume.detach(force=False)
    assert not volume.mounted()


def test_a_volume_that_another_mount_namespace_keeps_is_not_given_up(lun: Lun) -> None:
    volume = lun.on(ONE)
    attach(volume)
    keeper = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "600"])
    try:
        name = Path(f"/proc/{keeper.pid}/comm")
        wait_until("a namespace of its own", lambda: name.read_text() == "sleep\n", every=0.01)
        with pytest.raises(VolumeFault) as caught:
            volume.detach(force=False, patience=SHORT)
        assert caught.value.key == "volume-mounted-elsewhere"
        assert f"sleep ({keeper.pid})" in caught.value.facts["holders"]
        assert refusal(lun.on(OTHER)).key == "volume-in-use"
    finally:
        keeper.kill()
        keeper.wait()
    volume.detach(force=False)
    attach(lun.on(OTHER))


def test_damage_that_the_kernel_found_is_mended_before_the_next_mount(lun: Lun) -> None:
    volume = lun.on(ONE)
    attach(volume)
    (lun.superblock(ONE) / "trigger_fs_error").write_text("a test's doing")
    found = mounts.mounted_at(lun.folder / ONE)
    assert found is not None
    assert found.read_only
    volume.detach(force=False)
    other = lun.on(OTHER)
    assert other.needs_repair()
    attach(other)
    (lun.folder / OTHER / "letter").write_text("arrived")
    assert not other.needs_repair()


def test_files_that_were_deleted_while_open_are_no_damage_that_needs_a_person(lun: Lun) -> None:
    """Every mail store has such files; e2fsck -p alone refuses when the kernel found an error while there were two."""
    volume = lun.on(ONE)
    attach(volume)
    folder = lun.folder / ONE
    (folder / "letter").write_text("arrived")
    with contextlib.ExitStack() as still_open:
        for number in range(5):
            file = still_open.enter_context((folder / str(number)).open("w"))
            file.write("x" * 5000)
            file.flush()
            (folder / str(number)).unlink()
        command("sync", "--file-system", str(folder))
        (lun.superblock(ONE) / "trigger_fs_error").write_text("a test's doing")
    volume.detach(force=False)
    other = lun.on(OTHER)
    attach(other)
    assert (lun.folder / OTHER / "letter").read_text() == "arrived"
    other.detach(force=False)
    command("e2fsck", "-fn", str(lun.devices[1]))


def test_e2fsck_finds_an_empty_journal_so_that_it_waits_for_multi_mount_protection_once(
    lun: Lun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits at each of its beginnings, and begins anew after it has replayed a journal, twice."""
    volume = lun.on(ONE)
    attach(volume)
    (lun.folder / ONE / "letter").write_text("arrived")
    command("sync", "--file-system", str(lun.folder / ONE))
    (lun.superblock(ONE) / "trigger_fs_error").write_text("a test's doing")
    volume.detach(force=False)
    found: list[ext4.Superblock | None] = []
    run = tools.run

    def looked_at(*arguments: str, accept: Container[int] = (0,)) -> tools.Done:
        if arguments[:2] == ("e2fsck", "-p"):
            found.append(ext4.parse_superblock(ext4.read_direct(lun.devices[1])))
        return run(*arguments, accept=accept)

    monkeypatch.setattr(tools, "run", looked_at)
    attach(lun.on(OTHER))
    assert [(each.errors, each.journal) for each in found if each is not None] == [(True, False)]
    assert (lun.folder / OTHER / "letter").exists()


def test_a_volume_that_turned_read_only_here_does_not_pass_for_attached(lun: Lun) -> None:
    attach(lun.on(ONE))
    (lun.superblock(ONE) / "trigger_fs_error").write_text("a test's doing")
    assert refusal(lun.on(ONE)).key == "volume-read-only"


def test_an_option_that_is_none_is_told_and_nothing_is_repaired(lun: Lun) -> None:
    fault = refusal(lun.on(ONE, options=("no-such-option",)))
    assert fault.key == "volume-mount-failed"
    assert "bad option" in fault.facts["detail"]


def test_a_mount_that_is_given_up_does_not_come_true_later(lun: Lun) -> None:
    """While the kernel still waits for multi-mount protection, the keeper's child is killed."""
    attach(lun.on(ONE))
    power_cut(lun, lun.folder / ONE)
    child = os.fork()
    if child == 0:
        with suppress(VolumeFault):
            attach(lun.on(OTHER))
        os._exit(0)

    def waiting() -> bool:
        commands = []
        for process in Path("/proc").glob("[1-9]*"):
            with suppress(OSError):
                commands.append((process / "cmdline").read_text().split("\0"))
        return any(words[0] == "mount" and str(lun.devices[1]) in words for words in commands)

    wait_until("the kernel waits", waiting, every=0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_until("nobody mounts any more", lambda: not waiting(), every=0.01)
    assert not lun.on(OTHER).mounted()
    attach(lun.on(OTHER), clear_mmp=True)


def test_what_cannot_be_mended_without_a_person_is_refused(lun: Lun) -> None:
    with lun.image.open("r+b") as image:
        image.seek(8192)  # group descriptors and what follows them
        image.write(b"\xa5" * (4 << 20))
    fault = refusal(lun.on(ONE))
    assert fault.key == "volume-damaged"
    assert fault.facts["program"] == "e2fsck"
    assert not lun.on(ONE).mounted()


def test_something_else_at_the_place_of_a_volume_is_not_mounted_over(lun: Lun) -> None:
    target = lun.folder / ONE
    target.mkdir()
    command("mount", "-t", "tmpfs", "tmpfs", str(target))
    assert refusal(lun.on(ONE)).key == "volume-other-mounted"


def test_owners_are_written_on_the_volume_and_found_by_the_next_one(lun: Lun) -> None:
    attach(lun.on(ONE))
    owners_log.note(lun.folder / ONE, ONE, 41, Happened.ATTACHED)
    owners_log.note(lun.folder / ONE, ONE, 41, Happened.DETACHED)
    lun.on(ONE).detach(force=False)
    attach(lun.on(OTHER))
    owners_log.note(lun.folder / OTHER, OTHER, 57, Happened.ATTACHED)
    told = [(each.node, each.epoch, each.happened) for each in owners_log.read(lun.folder / OTHER)]
    assert told == [(ONE, 41, "attached"), (ONE, 41, "detached"), (OTHER, 57, "attached")]


@pytest.mark.parametrize("synchronous", [True, False])
def test_what_was_deleted_in_a_synchronous_folder_does_not_come_back_after_a_power_cut(
    lun: Lun, synchronous: bool
) -> None:
    one, other = lun.on(ONE), lun.on(OTHER)
    attach(one)
    top = lun.folder / ONE / "mailboxes"
    make_directories([Directory(top, synchronous=synchronous)])
    home = top / "home"  # as Dovecot makes it: without a word about it
    home.mkdir()
    for name in ("deleted", "moved"):
        with (home / name).open("w") as file:
            os.fsync(file.fileno())
    os.fsync(folder := os.open(home, os.O_RDONLY))
    (home / "deleted").unlink()
    (home / "moved").rename(home / "there")
    cut_power(folder)
    one.detach(force=True)
    attach(other, clear_mmp=True)
    found = {each.name for each in (lun.folder / OTHER / "mailboxes/home").iterdir()}
    assert found == ({"there"} if synchronous else {"deleted", "moved"})


def cut_power(folder: int) -> None:
    """Nothing that is not on the disk yet gets there any more (EXT4_IOC_SHUTDOWN); closes the folder."""
    fcntl.ioctl(folder, 0x8004587D, struct.pack("I", 2))
    os.close(folder)
