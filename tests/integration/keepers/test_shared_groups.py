"""Shared groups, taken, moved and lost by real keepers over a real store, with a real disk."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from appliance.cluster import keys
from appliance.cluster.model import Basis, OwnershipStage, ServiceGroup, Session, VolumeDriver, VolumeSpec
from appliance.cluster.names import GroupName, NodeName
from nodeagent.resources.volumes.ext4 import parse_superblock, read_direct
from tests.integration.etcd_server import EtcdServer
from tests.integration.keepers.conftest import ONE, TWO
from tests.integration.keepers.stage import SHARED, TIMING, Controller, KeeperNode, boottime, events
from tests.lab.polling import wait_until

Make: TypeAlias = Callable[[NodeName], KeeperNode]
Disk: TypeAlias = dict[NodeName, str]
#: A folder of node one.
ALONE = GroupName("alone")


@pytest.fixture
def group(disk: Disk) -> ServiceGroup:
    volume = VolumeSpec(driver=VolumeDriver.BLOCK, sources=disk)
    return ServiceGroup(name=SHARED, volume=volume, candidates=(ONE, TWO))


@pytest.fixture
def one(node: Make, controller: Controller, group: ServiceGroup) -> KeeperNode:
    """Serves the group, with an engine that does not stop by itself."""
    controller.desire(group)
    controller.place(ONE)
    made = node(ONE)
    made.start()
    controller.grant(ONE)
    wait_until("one serves", made.serves, timeout=20, explain=lambda: made.log)
    return made


def test_a_granted_group_is_confirmed_mounted_and_marked(one: KeeperNode, controller: Controller) -> None:
    owner, session = controller.owner(), controller.session(ONE)
    assert owner is not None
    assert session is not None
    assert (owner.record.node, owner.record.stage) == (ONE, OwnershipStage.CONFIRMED)
    assert owner.record.silence is None  # no watchdog here that would prove anything
    assert one.mounts() == ["/srv/posthouse/shared"]
    assert one.marker() == {"exclusive": False, "epoch": owner.epoch, "stage": "active", "basis": "unowned"}
    wait_until("it is reported", lambda: "shared" in one.report["owned"])
    assert one.report["session_epoch"] == session.epoch
    assert one.report["groups"]["shared"]["stage"] == "confirmed"
    assert one.report["timing"]["demote"] == TIMING.demote
    wait_until("it is told", lambda: [event["key"] for event in events(controller.store)] == ["event-group-taken"])


def test_a_group_that_is_placed_elsewhere_is_stopped_unmounted_and_handed_over(
    one: KeeperNode, node: Make, controller: Controller
) -> None:
    two = node(TWO)
    two.start()
    controller.wait_for_session(TWO)
    engine = one.start_engine()
    controller.place(TWO)
    wait_until("one asks for the stop", lambda: (one.marker() or {}).get("stage") == "stopping", every=0.01)
    assert one.mounts()
    engine.kill()
    engine.wait()
    wait_until("two serves", two.serves, every=0.01, explain=lambda: one.log + two.log)
    assert one.mounts() == []
    assert one.marker() is None
    assert two.mounts() == ["/srv/posthouse/shared"]
    owner = controller.owner()
    assert owner is not None
    assert (owner.record.node, owner.record.basis) == (TWO, Basis.HANDED_OVER)


def test_an_engine_that_does_not_stop_is_killed_in_the_end(one: KeeperNode, controller: Controller) -> None:
    engine = one.start_engine()
    controller.place(None)
    assert engine.wait(timeout=20) == -signal.SIGKILL
    wait_until("the group is given up", lambda: controller.owner() is None)
    assert one.mounts() == []


def test_a_keeper_whose_store_falls_silent_drops_by_its_deadline(
    one: KeeperNode, server: EtcdServer, controller: Controller
) -> None:
    controller.desire(ServiceGroup(name=ALONE, candidates=(ONE,)))
    wait_until("the exclusive group is served", lambda: one.serves(ALONE))
    engine = one.start_engine()
    server.freeze()
    wait_until("it is dropped", lambda: not one.mounts() and one.marker() is None, every=0.01)
    ended = boottime()
    assert engine.wait(timeout=5) == -signal.SIGKILL
    wait_until("it is reported", lambda: "shared" not in one.report["groups"])
    assert one.serves(ALONE)  # nobody else could serve it: docs/decisions/0003
    assert TIMING.demote <= ended - one.report["renewed_boottime"] <= TIMING.demote + TIMING.kill
    server.thaw()
    # The record still names it, and nobody took it meanwhile: it begins anew.
    wait_until("one serves again", one.serves, explain=lambda: one.log)
    assert controller.owner() is not None
    assert one.log.count("dropping group shared") == 1, "it does not begin anew before its session is renewed"


def test_a_group_whose_record_names_another_node_is_dropped(
    one: KeeperNode, node: Make, controller: Controller
) -> None:
    two = node(TWO)
    two.start()
    controller.wait_for_session(TWO)
    engine = one.start_engine()
    controller.grant(TWO, basis=Basis.ACKNOWLEDGED)
    controller.place(TWO)
    assert engine.wait(timeout=10) == -signal.SIGKILL
    wait_until("nothing is left on one", lambda: not one.mounts() and one.marker() is None)
    wait_until("two serves", two.serves, timeout=60, explain=lambda: two.log)


def test_a_keeper_that_takes_over_a_session_that_was_ended_opens_another(
    one: KeeperNode, controller: Controller
) -> None:
    engine = one.start_engine()
    session = controller.session(ONE)
    assert session is not None
    controller.store.delete(keys.session(ONE))
    assert engine.wait(timeout=10) == -signal.SIGKILL
    controller.grant(ONE, basis=Basis.RESTARTED, after=session.epoch)
    wait_until("one serves again", one.serves, explain=lambda: one.log)


def test_a_keeper_that_was_killed_leaves_its_successor_nothing_but_work(
    one: KeeperNode, controller: Controller
) -> None:
    engine = one.start_engine()
    session = controller.session(ONE)
    assert session is not None
    one.kill()
    assert engine.poll() is None
    assert one.mounts()
    one.start()
    assert engine.wait(timeout=10) == -signal.SIGKILL
    assert controller.wait_for_session(ONE, after=session.epoch)
    assert one.mounts() == []
    assert one.marker() is None
    # The record still names the session before: the controller has to grant it anew.
    owner = controller.owner()
    assert owner is not None
    assert owner.record.session_epoch == session.epoch


def test_a_copy_of_a_machine_that_lives_does_not_end_its_session(node: Make, controller: Controller) -> None:
    """Whoever ends it lets its groups be given away, as if it had come back with nothing mounted."""

    def renew() -> int:
        said = Session(node=ONE, boot_id="another", machine_id="")
        return controller.store.put(keys.session(ONE), said.model_dump_json())

    renew()
    living = controller.session(ONE)
    assert living is not None
    copy, began = node(ONE), boottime()
    copy.among_others()
    copy.start()
    wait_until("it was seen for long", lambda: bool(renew()) and boottime() - began > 3 * TIMING.demote + 2, timeout=30)
    seen = controller.session(ONE)
    assert seen is not None
    assert seen.epoch == living.epoch, copy.log
    assert "another machine" in copy.log
    assert controller.wait_for_session(ONE, after=living.epoch)  # it is renewed no more: it was a dead one's


def test_a_keeper_that_is_ended_gives_its_groups_away(one: KeeperNode, controller: Controller) -> None:
    one.kill(signal.SIGTERM)
    assert controller.owner() is None
    assert one.marker() is None
    assert one.mounts() == []


def test_a_keeper_that_another_release_is_to_follow_keeps_its_group_and_ends_when_it_has_none(
    one: KeeperNode, controller: Controller
) -> None:
    assert one.process is not None
    process, opened = one.process, controller.wait_for_session(ONE)

    def settled() -> bool:
        """On a machine that is busy the first renewals may be late, and the group is taken once more."""
        return one.serves() and controller.wait_for_session(ONE).revision > opened.revision

    wait_until("it renews and serves", settled, timeout=20, explain=lambda: one.log)
    process.send_signal(signal.SIGHUP)
    wait_until("it knows", lambda: one.report["superseded"], timeout=20)
    seen = controller.wait_for_session(ONE)
    wait_until("it renews", lambda: controller.wait_for_session(ONE).revision > seen.revision, timeout=20)
    assert controller.wait_for_session(ONE).epoch == seen.epoch
    assert process.poll() is None
    assert one.serves()
    assert one.mounts() == ["/srv/posthouse/shared"]
    controller.place(None)
    wait_until("it has made way", lambda: process.poll() is not None, timeout=20, explain=lambda: one.log)
    one.process = None
    assert process.returncode == 0
    assert controller.owner() is None
    assert one.mounts() == []


def test_a_mount_that_is_under_way_is_ended_when_the_group_is_lost(
    node: Make, controller: Controller, group: ServiceGroup, disk: Disk
) -> None:
    """Its protection was left unclean, so that the mount waits: a drop does not wait with it."""
    _leave_unclean(disk[TWO])
    controller.desire(group)
    controller.place(ONE)
    one = node(ONE)
    one.start()
    controller.grant(ONE)
    wait_until("it is confirmed", lambda: _stage(controller) is OwnershipStage.CONFIRMED, every=0.02)
    wait_until("it waits", lambda: one.report["groups"]["shared"]["waits_for"] == "take")
    assert one.report["groups"]["shared"]["fault"] is None
    controller.store.delete(keys.owner(SHARED))
    wait_until("it is dropped", lambda: "shared" not in one.report["groups"], timeout=10, explain=lambda: one.log)
    assert one.mounts() == []
    assert not one.serves()


def test_a_group_that_cannot_be_mounted_here_can_be_moved(
    node: Make, controller: Controller, group: ServiceGroup, disk: Disk
) -> None:
    broken = group.volume.model_copy(update={"sources": {**disk, ONE: "/dev/absent"}})
    controller.desire(group.model_copy(update={"volume": broken}))
    controller.place(ONE)
    one, two = node(ONE), node(TWO)
    one.start()
    two.start()
    controller.wait_for_session(TWO)
    controller.grant(ONE)
    wait_until("the fault is told", lambda: (one.report.get("groups", {}).get("shared") or {}).get("fault"))
    assert "/dev/absent" in one.report["groups"]["shared"]["fault"]["text"]
    controller.place(TWO)
    wait_until("two serves", two.serves, explain=lambda: one.log + two.log)
    assert not one.report["groups"]


def _stage(controller: Controller) -> OwnershipStage | None:
    owner = controller.owner()
    return owner.record.stage if owner else None


def _leave_unclean(device: str) -> None:
    """As a node that lost its power while it had the volume: its last word in the protection block stays."""
    superblock = parse_superblock(read_direct(Path(device)))
    assert superblock is not None
    block = bytearray(read_direct(Path(device), superblock.mmp_block * superblock.block_size))
    struct.pack_into("<I", block, 4, 7)
    with Path(device).open("r+b", buffering=0) as disk:
        disk.seek(superblock.mmp_block * superblock.block_size)
        disk.write(block)
        os.fsync(disk.fileno())


def test_a_timing_that_breaks_an_inequality_is_refused(one: KeeperNode, controller: Controller) -> None:
    controller.store.put(keys.TIMING, TIMING.model_copy(update={"kill": 9.0}).model_dump_json())
    wait_until("it is refused", lambda: one.report["timing_refused"], explain=lambda: one.log)
    assert "D + K <= W" in one.report["timing_refused"]
    assert one.report["timing"]["kill"] == TIMING.kill
    assert one.serves()
