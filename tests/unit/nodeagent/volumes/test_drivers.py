"""Volume drivers where nothing is mounted: what they promise, what they run, what they read."""

from __future__ import annotations

import struct
from collections.abc import Container
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cluster.model import Filesystem, ServiceGroup, VolumeSpec
from appliance.cluster.model import VolumeDriver as Kind
from appliance.cluster.names import GroupName, NodeName
from nodeagent.health import volume_writer
from nodeagent.resources.volumes import (
    Promise,
    ReservationKey,
    VolumeDriver,
    VolumeFault,
    driver,
    ext4,
    mounts,
    nfs,
    owners_log,
    tools,
    volumes_of,
)
from nodeagent.resources.volumes.drbd import local_state
from nodeagent.resources.volumes.owners_log import Happened

NODE = NodeName("one")
TARGET = Path("/srv/posthouse/mail")


def attach(volume: VolumeDriver, *, clear_mmp: bool = False) -> None:
    volume.attach(key=None, preempt_below=None, clear_mmp=clear_mmp)


# --- promises ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "promise"),
    [
        (VolumeSpec(), Promise(shared=False)),
        (VolumeSpec(driver=Kind.BLOCK, source="/dev/x"), Promise(shared=True, refuses_second_mount=True)),
        (VolumeSpec(driver=Kind.BLOCK, source="/dev/x", filesystem=Filesystem.XFS), Promise(shared=True)),
        (
            VolumeSpec(driver=Kind.BLOCK, source="/dev/x", reservation=True),
            Promise(shared=True, storage_fence=True, refuses_second_mount=True),
        ),
        (VolumeSpec(driver=Kind.NFS, source="nas:/mail"), Promise(shared=True)),
        (VolumeSpec(driver=Kind.DRBD, source="mail"), Promise(shared=True)),
    ],
    ids=["directory", "ext4", "xfs", "reserved", "nfs", "drbd"],
)
def test_a_driver_promises_no_more_than_it_can_keep(spec: VolumeSpec, promise: Promise) -> None:
    assert driver(spec, NODE, TARGET).promise == promise


def test_a_reserved_device_is_not_taken_without_a_key() -> None:
    volume = driver(VolumeSpec(driver=Kind.BLOCK, source="/dev/x", reservation=True), NODE, TARGET)
    with pytest.raises(VolumeFault) as caught:
        attach(volume)
    assert caught.value.key == "volume-key-lost"


def test_a_volume_without_a_reservation_has_no_key_to_lose() -> None:
    volume = driver(VolumeSpec(driver=Kind.BLOCK, source="/dev/x"), NODE, TARGET)
    volume.prepare(ReservationKey(NODE, 1))
    assert volume.key_registered(ReservationKey(NODE, 1))
    volume.release(None)


# --- a folder ---------------------------------------------------------------------------------------------


def test_a_folder_is_made_and_never_counts_as_mounted(tmp_path: Path) -> None:
    volume = driver(VolumeSpec(), NODE, tmp_path / "srv" / "mail")
    volume.check()
    assert not (tmp_path / "srv").exists(), "a look changes nothing"
    attach(volume)
    attach(volume)
    assert (tmp_path / "srv" / "mail").stat().st_mode & 0o777 == 0o755
    assert not volume.mounted()
    volume.detach(force=True)
    assert (tmp_path / "srv" / "mail").is_dir()


def test_a_folder_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mail").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VolumeFault) as caught:
        driver(VolumeSpec(), NODE, tmp_path / "mail").check()
    assert caught.value.key == "volume-folder"


def test_extra_volumes_are_mounted_below_the_first_one_by_name() -> None:
    index, queue = VolumeSpec(driver=Kind.BLOCK, source="/dev/i"), VolumeSpec(driver=Kind.BLOCK, source="/dev/q")
    first = VolumeSpec(driver=Kind.BLOCK, source="/dev/m")
    group = ServiceGroup(
        name=GroupName("mail"),
        volume=first,
        extra_volumes={GroupName("queue"): queue, GroupName("index"): index},
        addresses=(IPv4Address("192.0.2.1"),),
    )
    assert volumes_of(group, TARGET) == ((first, TARGET), (index, TARGET / "index"), (queue, TARGET / "queue"))


# --- what is mounted --------------------------------------------------------------------------------------

MOUNTINFO = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 22 8:17 / /srv/posthouse/mail rw,noatime shared:9 - ext4 /dev/sdb1 rw,errors=remount-ro
41 40 8:33 / /srv/posthouse/mail/index rw,noatime shared:9 master:3 - xfs /dev/sdc1 rw,emergency_ro
42 22 0:45 / /srv/posthouse/with\040space ro - nfs4 nas:/a\040b rw,vers=4.2
this line is of a later kernel
43 22 0:46 / /tmp rw - tmpfs
"""


def test_the_mount_table_is_read() -> None:
    root, mail, index, spaced = mounts.parse(MOUNTINFO)
    assert (mail.device, mail.target, mail.kind, mail.source) == ("8:17", TARGET, "ext4", "/dev/sdb1")
    assert (root.read_only, mail.read_only, index.read_only, spaced.read_only) == (False, False, True, True)
    assert spaced.target == Path("/srv/posthouse/with space")
    assert spaced.source == "nas:/a b"


def test_mounts_below_a_folder_come_in_the_order_of_unmounting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    monkeypatch.setattr(mounts, "MOUNTINFO", tmp_path / "mountinfo")
    below = mounts.mounted_below(Path("/srv/posthouse"))
    assert below == (Path("/srv/posthouse/with space"), TARGET / "index", TARGET)
    assert mounts.mounted_below(TARGET) == (TARGET / "index",)


@given(st.text())
def test_no_mount_table_breaks_the_reader(text: str) -> None:
    mounts.parse(text)


@given(st.binary(max_size=5000))
def test_no_device_breaks_the_reader_of_superblocks(data: bytes) -> None:
    ext4.parse_superblock(data)
    ext4.parse_mmp(data)


def test_multi_mount_protection_tells_who_and_whether() -> None:
    def block(sequence: int) -> bytes:
        return struct.pack("<IIQ64s", 0x004D4D50, sequence, 1_700_000_000, b"store1") + bytes(400)

    held, clean = ext4.parse_mmp(block(7)), ext4.parse_mmp(block(0xFF4D4D50))
    assert held == ext4.MmpBlock(clean=False, sequence=7, node="store1", updated=1_700_000_000)
    assert clean is not None
    assert clean.clean
    assert ext4.parse_mmp(bytes(500)) is None


# --- programs that cannot run here ------------------------------------------------------------------------


class Machine:
    """Stands for `tools.run`: answers as told, and remembers what was asked. Nothing is mounted by it."""

    def __init__(self, **answers: tools.Done) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, *words: str, accept: Container[int] = (0,)) -> tools.Done:
        self.asked.append(" ".join(words))
        done = self.answers.get(words[1] if words[0] == "drbdadm" else words[0], tools.Done(0, "", ""))
        if done.status not in accept:
            raise tools.ToolFailed(words[0], done)
        return done


def refused(text: str, status: int = 32) -> tools.Done:
    return tools.Done(status, "", text)


def test_an_export_is_mounted_hard_and_only_with_sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Machine(mount=refused("mount.nfs: Protocol not supported\n"))
    monkeypatch.setattr(tools, "run", machine)
    volume = driver(VolumeSpec(driver=Kind.NFS, source="nas:/mail", options=("sec=krb5p",)), NODE, tmp_path / "mail")
    with pytest.raises(VolumeFault) as caught:
        attach(volume)
    assert caught.value.facts == {"source": "nas:/mail", "detail": "Protocol not supported"}
    assert [each.split(" --options ")[1].split(",")[0] for each in machine.asked] == ["vers=4.2", "vers=4.1"]
    assert ",hard," in machine.asked[0]
    assert machine.asked[0].endswith(f",sec=krb5p --source nas:/mail --target {tmp_path}/mail")


def test_an_export_that_is_refused_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Machine(mount=refused("mount.nfs: access denied by server while mounting nas:/mail\n"))
    monkeypatch.setattr(tools, "run", machine)
    with pytest.raises(VolumeFault):
        attach(driver(VolumeSpec(driver=Kind.NFS, source="nas:/mail"), NODE, tmp_path / "mail"))
    assert len(machine.asked) == 1


@pytest.mark.parametrize(
    ("source", "host"),
    [("nas.example:/mail", "nas.example"), ("[fd57::1]:/mail", "fd57::1"), ("192.0.2.1:/a:/b", "192.0.2.1")],
)
def test_the_server_of_an_export_is_found(source: str, host: str) -> None:
    assert nfs.server(source) == host


@pytest.mark.parametrize(
    ("text", "state"),
    [("UpToDate/UpToDate\n", "UpToDate"), ("Outdated/DUnknown\n", "Outdated"), ("Diskless\n", "Diskless"), ("", "")],
)
def test_the_own_disks_state_is_read(text: str, state: str) -> None:
    assert local_state(text) == state


@pytest.mark.parametrize("state", ["Outdated", "Consistent", "Inconsistent", "Diskless"])
def test_old_data_are_never_promoted(state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = {"dstate": tools.Done(0, f"{state}/DUnknown\n", ""), "sh-dev": tools.Done(0, "/dev/drbd0\n", "")}
    machine = Machine(**said)
    monkeypatch.setattr(tools, "run", machine)
    volume = driver(VolumeSpec(driver=Kind.DRBD, source="mail"), NODE, tmp_path / "mail")
    with pytest.raises(VolumeFault) as caught:
        attach(volume)
    assert caught.value.facts == {"resource": "mail", "state": state}
    assert "drbdadm primary mail" not in machine.asked


def test_a_role_is_given_back_when_the_mount_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = {"dstate": tools.Done(0, "UpToDate/DUnknown\n", ""), "sh-dev": tools.Done(0, "/dev/no-drbd-here\n", "")}
    machine = Machine(**said)
    monkeypatch.setattr(tools, "run", machine)
    volume = driver(VolumeSpec(driver=Kind.DRBD, source="mail"), NODE, tmp_path / "mail")
    with pytest.raises(VolumeFault) as caught:
        attach(volume)
    assert caught.value.key == "volume-device-missing"
    assert machine.asked[-2:] == ["drbdadm primary mail", "drbdadm secondary mail"]
    assert not [each for each in machine.asked if "--force" in each]


def test_a_peer_that_is_still_primary_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = {
        "dstate": tools.Done(0, "UpToDate/UpToDate\n", ""),
        "sh-dev": tools.Done(0, "/dev/drbd0\n", ""),
        "primary": refused("0: State change failed: (-1) Multiple primaries not allowed by config\n", 11),
    }
    monkeypatch.setattr(tools, "run", Machine(**said))
    with pytest.raises(VolumeFault) as caught:
        attach(driver(VolumeSpec(driver=Kind.DRBD, source="mail"), NODE, tmp_path / "mail"))
    assert caught.value.key == "volume-drbd-failed"
    assert "Multiple primaries" in caught.value.facts["detail"]


def test_a_program_that_is_not_installed_fails_like_any_other() -> None:
    with pytest.raises(tools.ToolFailed) as caught:
        tools.run("no-such-program-here")
    assert caught.value.done.status == 127


# --- owners -----------------------------------------------------------------------------------------------


def test_owners_are_appended_and_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    owners_log.note(tmp_path, NODE, 7, Happened.ATTACHED)
    with (tmp_path / owners_log.FOLDER / owners_log.NAME).open("a") as log:
        log.write('{"node": "one", "boot_')
    owners_log.note(tmp_path, NodeName("two"), 9, Happened.ATTACHED)
    found = owners_log.read(tmp_path)
    assert [(each.node, each.epoch, each.happened) for each in found] == [
        ("one", 7, "attached"),
        ("two", 9, "attached"),
    ]
    assert found[0].boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (tmp_path / owners_log.FOLDER).stat().st_mode & 0o777 == 0o700


def test_the_log_of_owners_stays_small_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners_log, "MOST", 4096)
    for epoch in range(1, 100):
        owners_log.note(tmp_path, NODE, epoch, Happened.ATTACHED)
        assert (tmp_path / owners_log.FOLDER / owners_log.NAME).stat().st_size <= 4096 + 200
    found = [each.epoch for each in owners_log.read(tmp_path)]
    assert found == list(range(found[0], 100))
    assert len(found) > 10


def test_the_owners_and_the_watch_share_a_folder_on_the_volume() -> None:
    assert owners_log.FOLDER == volume_writer.FOLDER
