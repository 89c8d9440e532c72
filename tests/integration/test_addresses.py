"""Virtual addresses between two machines on one network, and a third that talks to them."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pytest

from nodeagent.resources import addresses
from nodeagent.resources.addresses import AddressFault
from nodeagent.resources.announce import Address
from tests.lab import network, wait_until
from tests.lab.host import command, require_root

IPV4 = IPv4Address("10.57.0.100")
IPV6 = IPv6Address("fd57::100")
BOTH: tuple[Address, ...] = (IPV4, IPV6)


@dataclass(frozen=True)
class Net:
    """A bridge in a namespace, the peer, and two machines on it."""

    peer: str
    one: str
    other: str

    def ip(self, namespace: str, *words: str) -> list[dict[str, object]]:
        """`ip --json …` inside."""
        said = command("ip", "-json", "-n", namespace, *words)
        return [each for each in json.loads(said or "[]") if each]

    def mac(self, namespace: str) -> str:
        """Of the machine's interface."""
        (link,) = self.ip(namespace, "link", "show", "eth0")
        return str(link["address"])

    def neighbour(self, address: Address) -> str | None:
        """Where the peer believes the address to be."""
        found = self.ip(self.peer, "neighbour", "show", str(address))
        return str(found[0].get("lladdr")) if found else None

    def talk(self, address: Address) -> None:
        """Let the peer learn where the address is, as any client does by using it."""
        with network.entered(self.peer):
            kind = socket.AF_INET if address.version == 4 else socket.AF_INET6

            def reached() -> bool:
                with socket.socket(kind, socket.SOCK_STREAM) as client:
                    client.settimeout(0.2)
                    with suppress(ConnectionRefusedError, OSError):
                        client.connect((str(address), 9))
                return self.neighbour(address) is not None

            wait_until(f"{address} answers", reached, every=0.01)


@pytest.fixture
def net() -> Iterator[Net]:
    require_root()
    tag = secrets.token_hex(3)
    made = Net(f"va{tag}", f"va{tag}a", f"va{tag}b")
    try:
        network.create_bridge(made.peer)
        network.attach(made.peer, made.one, 1)
        network.attach(made.peer, made.other, 2)
        yield made
    finally:
        for namespace in (made.one, made.other, made.peer):
            network.remove(namespace)


def test_an_address_stands_alone_on_the_interface_whose_network_contains_it(net: Net) -> None:
    with network.entered(net.one):
        addresses.add(BOTH)
        assert addresses.present(BOTH) == BOTH
    (link,) = net.ip(net.one, "address", "show", "eth0")
    (info4,) = [each for each in link["addr_info"] if each["local"] == str(IPV4)]  # type: ignore[attr-defined]
    (info6,) = [each for each in link["addr_info"] if each["local"] == str(IPV6)]  # type: ignore[attr-defined]
    assert info4["prefixlen"] == 32
    assert info6["prefixlen"] == 128
    assert info6.get("nodad")
    assert info6.get("deprecated"), "never the source of what this node sends by itself"
    assert not info6.get("tentative")
    assert not [each for each in net.ip(net.one, "-6", "route") if each["dst"] == str(IPV6)]


def test_adding_and_removing_again_changes_nothing(net: Net) -> None:
    with network.entered(net.one):
        addresses.add(BOTH)
        addresses.add(BOTH)
        addresses.remove(BOTH)
        addresses.remove(BOTH)
        assert addresses.present(BOTH) == ()


def test_an_address_of_no_network_of_this_node_is_refused(net: Net) -> None:
    with network.entered(net.one), pytest.raises(AddressFault) as caught:
        addresses.add([IPV4, IPv4Address("192.0.2.1")])
    assert caught.value.key == "address-without-interface"
    assert caught.value.facts["address"] == "192.0.2.1"
    with network.entered(net.one):
        assert addresses.present([IPV4]) == (), "all or nothing"


@pytest.mark.parametrize("address", BOTH, ids=str)
def test_neighbours_know_at_once_where_an_address_has_moved(net: Net, address: Address) -> None:
    with network.entered(net.one):
        addresses.add([address])
    net.talk(address)
    assert net.neighbour(address) == net.mac(net.one)
    with network.entered(net.one):
        addresses.remove([address])
    with network.entered(net.other):
        addresses.add([address])
        assert net.neighbour(address) == net.mac(net.one), "nobody has told it yet"
        addresses.announce([address])
    wait_until("the peer knows", lambda: net.neighbour(address) == net.mac(net.other), timeout=1.0, every=0.005)


@pytest.mark.parametrize("address", BOTH, ids=str)
def test_a_dead_node_that_still_has_the_address_loses_it_to_the_announcement(net: Net, address: Address) -> None:
    with network.entered(net.one):
        addresses.add([address])
    net.talk(address)
    network.set_cable(net.peer, 1, plugged=False)
    with network.entered(net.other):
        addresses.add([address])
        addresses.announce([address])
    wait_until("the peer knows", lambda: net.neighbour(address) == net.mac(net.other), timeout=1.0, every=0.005)


def test_after_a_partition_heals_the_owner_says_again_where_the_address_is(net: Net) -> None:
    with network.entered(net.one):
        addresses.add(BOTH)
    for address in BOTH:
        net.talk(address)
    with network.entered(net.one):
        addresses.remove(BOTH)
    network.set_cable(net.peer, 2, plugged=False)
    with network.entered(net.other):
        addresses.add(BOTH)
        addresses.announce(BOTH)
    assert [net.neighbour(each) for each in BOTH] == [net.mac(net.one)] * 2
    network.set_cable(net.peer, 2, plugged=True)
    with network.entered(net.other):
        wait_until("the link", lambda: "UP" in str(net.ip(net.other, "link", "show", "eth0")[0]["operstate"]))
        addresses.announce(BOTH)
    for address in BOTH:
        wait_until(
            "the peer knows",
            lambda address=address: net.neighbour(address) == net.mac(net.other),  # type: ignore[misc]
            timeout=1.0,
            every=0.005,
        )


def test_repeating_stops_when_the_address_is_given_up(net: Net) -> None:
    """A node that lost the group between two announcements must not draw the clients back."""
    pauses: list[float] = []
    with network.entered(net.one):
        addresses.add(BOTH)
    for address in BOTH:
        net.talk(address)

    def moved(seconds: float) -> None:
        pauses.append(seconds)
        with network.entered(net.one):
            addresses.remove(BOTH)
        with network.entered(net.other):
            addresses.add(BOTH)
            addresses.announce(BOTH)

    with network.entered(net.one):
        addresses.announce(BOTH, repeat=True, pause=moved)
    assert pauses == [1.0, 2.0]
    assert [net.neighbour(each) for each in BOTH] == [net.mac(net.other)] * 2


def test_an_address_that_another_machine_answers_for_is_refused_when_asked(net: Net) -> None:
    with network.entered(net.other):
        addresses.add([IPV4])
    with network.entered(net.one):
        assert addresses.answered_elsewhere(BOTH) == {IPV4: net.mac(net.other)}
        with pytest.raises(AddressFault) as caught:
            addresses.add(BOTH, probe=True)
        assert caught.value.key == "address-taken"
        assert caught.value.facts["mac"] == net.mac(net.other)
        assert addresses.present(BOTH) == ()
    with network.entered(net.other):
        addresses.remove([IPV4])
    with network.entered(net.one):
        addresses.add(BOTH, probe=True)
        assert addresses.present(BOTH) == BOTH


def test_announcing_what_is_not_here_says_nothing(net: Net) -> None:
    with network.entered(net.one):
        addresses.add([IPV4])
    net.talk(IPV4)
    with network.entered(net.other):
        addresses.announce([IPV4])
    assert net.neighbour(IPV4) == net.mac(net.one)
