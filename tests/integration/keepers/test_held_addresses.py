"""Addresses and volumes while a group is held here, and while it is held elsewhere: real keepers, the lab's network."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from appliance.cluster import keys
from appliance.cluster.model import Node, Role, ServiceGroup, Session, VolumeDriver, VolumeSpec
from appliance.cluster.names import GroupName, NodeName
from tests.integration.keepers.conftest import ONE, TWO
from tests.integration.keepers.stage import SHARED, Controller, KeeperNode
from tests.lab import Lab
from tests.lab.network import BRIDGE
from tests.lab.polling import wait_until

Make = Callable[[NodeName], KeeperNode]
ALONE = GroupName("alone")
FIRST, SECOND = IPv4Address("10.57.0.231"), IPv4Address("10.57.0.232")
_ARP = 0x0806
#: Looks at the store are 10 s apart where nothing rings.
_LOOKS = 25.0


@pytest.fixture(autouse=True)
def on_the_labs_network(lab: Lab) -> Iterator[None]:
    """Before the store starts: it listens on the lab's loopback, and addresses are added to the lab's bridge."""
    assert lab
    yield
    for address in (FIRST, SECOND):
        for line in _lines(address):
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", line.split()[1]], check=False)


@pytest.fixture
def store(on_the_labs_network: None, controller: Controller) -> Controller:
    """The store, begun on that network."""
    return controller


def _lines(address: IPv4Address) -> list[str]:
    said = subprocess.run(["ip", "-o", "-4", "address", "show"], capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if f" {address}/32 " in line]


def here() -> set[IPv4Address]:
    return {address for address in (FIRST, SECOND) if _lines(address)}


def wait_here(*addresses: IPv4Address, explain: Callable[[], str]) -> None:
    wait_until(f"{addresses} are here", lambda: here() == set(addresses), timeout=_LOOKS, explain=explain)


@contextmanager
def listening() -> Iterator[Callable[[IPv4Address], int]]:
    """Counts the announcements of an address that leave this machine meanwhile (RFC 5227, 3)."""
    seen: list[IPv4Address] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as line:
        line.bind((BRIDGE, 0x0003))  # what the store says on the loopback would fill the buffer
        line.setblocking(False)

        def count(address: IPv4Address) -> int:
            while True:
                try:
                    frame = line.recv(2048)
                except BlockingIOError:
                    return seen.count(address)
                if int.from_bytes(frame[12:14], "big") == _ARP and frame[28:32] == frame[38:42]:
                    found = ip_address(frame[28:32])
                    assert isinstance(found, IPv4Address)
                    seen.append(found)

        yield count


def exclusive(*addresses: IPv4Address) -> ServiceGroup:
    return ServiceGroup(name=ALONE, candidates=(ONE,), addresses=addresses)


def test_the_addresses_of_an_exclusive_group_come_change_outlive_the_keeper_and_go(
    store: Controller, node: Make
) -> None:
    store.desire(exclusive(FIRST))
    one = node(ONE)
    one.start()
    wait_here(FIRST, explain=lambda: one.log)
    wait_until("it is held", lambda: one.serves(ALONE))
    with listening() as announced:
        store.desire(exclusive(SECOND))
        wait_here(SECOND, explain=lambda: one.log)
        wait_until("it is announced", lambda: announced(SECOND) > 0, explain=lambda: one.log)
    one.kill()
    assert here() == {SECOND}
    store.desire(exclusive(FIRST))
    one.start()
    wait_here(FIRST, explain=lambda: one.log)
    store.store.delete(keys.group(ALONE))
    wait_here(explain=lambda: one.log)


def test_after_a_boot_without_the_store_they_are_those_that_were_noted_last(
    store: Controller, node: Make, server: Any
) -> None:
    store.desire(exclusive(FIRST))
    one = node(ONE)
    one.start()
    wait_here(FIRST, explain=lambda: one.log)
    wait_until("it is noted", (one.folder / "state/keeper/exclusive-addresses.json").exists)
    one.kill()
    for folder in ("owned", "attached"):  # what does not outlive a boot
        for file in (one.folder / "run" / folder).iterdir():
            file.unlink()
    subprocess.run(["ip", "address", "del", f"{FIRST}/32", "dev", BRIDGE], check=True)
    server.freeze()
    one.start()
    wait_until("it is served", lambda: one.serves(ALONE), timeout=60, explain=lambda: one.log)
    wait_here(FIRST, explain=lambda: one.log)


def test_an_address_that_fits_nowhere_is_told_and_the_group_served(store: Controller, node: Make) -> None:
    store.desire(exclusive(IPv4Address("192.0.2.77")))
    one = node(ONE)
    one.start()
    wait_until("it is told", lambda: one.report.get("address_faults"), timeout=_LOOKS)
    assert one.report["address_faults"][ALONE]["key"] == "address-without-interface"
    assert one.serves(ALONE)
    store.desire(exclusive(FIRST))
    wait_here(FIRST, explain=lambda: one.log)
    wait_until("all is well", lambda: one.report.get("address_faults") == {})


@pytest.fixture
def shared(store: Controller, disk: dict[NodeName, str]) -> ServiceGroup:
    volume = VolumeSpec(driver=VolumeDriver.BLOCK, sources=disk)
    return ServiceGroup(name=SHARED, volume=volume, candidates=(ONE, TWO), addresses=(FIRST,))


@pytest.fixture
def one(shared: ServiceGroup, store: Controller, node: Make) -> KeeperNode:
    """Serves the shared group."""
    store.desire(shared)
    store.place(ONE)
    made = node(ONE)
    made.start()
    store.grant(ONE)
    wait_until("one serves", made.serves, timeout=20, explain=lambda: made.log)
    return made


def test_a_held_groups_addresses_change_at_once_and_all_of_them_go_with_it(
    one: KeeperNode, shared: ServiceGroup, store: Controller
) -> None:
    assert here() == {FIRST}
    with listening() as announced:
        store.desire(shared.model_copy(update={"addresses": (FIRST, SECOND)}))
        wait_here(FIRST, SECOND, explain=lambda: one.log)
        wait_until("it is announced", lambda: announced(SECOND) > 0)
    store.desire(shared.model_copy(update={"addresses": (SECOND,)}))
    wait_here(SECOND, explain=lambda: one.log)
    store.desire(shared.model_copy(update={"addresses": (SECOND, IPv4Address("192.0.2.77"))}))
    wait_until("what fits nowhere is told", lambda: _told(one).get("fault"), timeout=_LOOKS)
    assert _told(one)["fault"]["key"] == "address-without-interface"
    assert _told(one)["serving"]
    store.place(None)
    wait_here(explain=lambda: one.log)


def test_another_volume_counts_when_the_group_is_taken_next_and_it_is_said(
    one: KeeperNode, shared: ServiceGroup, store: Controller
) -> None:
    assert _told(one)["volume_changed"] is False
    volume = shared.volume.model_copy(update={"options": ("nodiratime",)})
    store.desire(shared.model_copy(update={"volume": volume}))
    wait_until("it is said", lambda: _told(one).get("volume_changed"), timeout=_LOOKS)
    assert one.mounts() == ["/srv/posthouse/shared"]
    store.desire(shared)
    wait_until("it is as it is mounted", lambda: _told(one).get("volume_changed") is False, timeout=_LOOKS)


def _told(node: KeeperNode) -> dict[str, Any]:
    found: dict[str, Any] = node.report.get("groups", {}).get(SHARED, {})
    return found


def test_addresses_are_announced_again_when_a_node_is_heard_again(one: KeeperNode, store: Controller) -> None:
    """This keeper never lost the store; who was cut off with the other node has not heard of the takeover."""
    session = Session(node=TWO, boot_id="another").model_dump_json()
    with listening() as announced:
        wait_until("the taking's announcements are over", lambda: _is_quiet(announced), timeout=_LOOKS, every=4.0)
        before = announced(FIRST)
        store.store.put(keys.session(TWO), session)
        store.desire(ServiceGroup(name=ALONE, candidates=(TWO,)))  # rings: a look follows
        wait_until("it is announced again", lambda: announced(FIRST) > before, timeout=_LOOKS, explain=lambda: one.log)
    assert "heard again: two" in one.log


def _is_quiet(announced: Callable[[IPv4Address], int]) -> bool:
    """Nothing was announced since it was asked last."""
    before, _is_quiet.last = getattr(_is_quiet, "last", -1), announced(FIRST)  # type: ignore[attr-defined]
    return bool(before == announced(FIRST))


def test_addresses_are_announced_again_when_this_node_has_the_store_again(
    store: Controller, node: Make, server: Any
) -> None:
    store.desire(exclusive(FIRST))  # however long that takes, it is held
    one = node(ONE)
    one.start()
    wait_here(FIRST, explain=lambda: one.log)
    with listening() as announced:
        wait_until("the first announcements are over", lambda: _is_quiet(announced), timeout=_LOOKS, every=4.0)
        server.freeze()
        wait_until("a renewal failed", lambda: "session: " in one.log, timeout=20)
        before = announced(FIRST)
        server.thaw()
        wait_until("it is announced again", lambda: announced(FIRST) > before, timeout=_LOOKS, explain=lambda: one.log)


def test_a_standby_that_could_not_attach_the_volume_says_so_before_it_has_to(
    shared: ServiceGroup, store: Controller, node: Make, disk: dict[NodeName, str]
) -> None:
    missing = shared.volume.model_copy(update={"sources": {**disk, TWO: "/dev/posthouse-absent"}})
    store.store.put(keys.node(TWO), Node(name=TWO, roles=frozenset({Role.STORE})).model_dump_json())
    store.desire(shared.model_copy(update={"volume": missing}))
    two = node(TWO)
    two.start()
    found = wait_until("it is told", lambda: two.report.get("standby_volumes", {}).get(SHARED), timeout=_LOOKS)
    assert (found["key"], found["facts"]) == ("volume-device-missing", {"device": "/dev/posthouse-absent"})
    store.desire(shared)
    wait_until(
        "it could", lambda: two.report["standby_volumes"] == {SHARED: None}, timeout=_LOOKS, explain=lambda: two.log
    )
    assert two.mounts() == []
