"""Which interface carries an address, and the frames that say where it is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.resources.addresses import AddressFault, Link, link_for
from nodeagent.resources.announce import Address, Place, arp_probe, checksum, frames

MAC = bytes.fromhex("02aabbccddee")
IPV4 = IPv4Address("192.0.2.9")
IPV6 = IPv6Address("2001:db8::9")


def link(index: int, *networks: str, up: bool = True, loopback: bool = False) -> Link:
    return Link(index, f"eth{index}", MAC, up, loopback, tuple(ip_interface(each) for each in networks))


@pytest.mark.parametrize(
    ("address", "links", "index"),
    [
        pytest.param(IPV4, [link(2, "198.51.100.1/24"), link(3, "192.0.2.1/24")], 3, id="the-one-that-contains-it"),
        pytest.param(IPV6, [link(2, "192.0.2.1/24"), link(3, "2001:db8::1/64", "192.0.2.2/24")], 3, id="ipv6"),
        pytest.param(IPV4, [link(2, "192.0.0.1/16"), link(3, "192.0.2.1/24")], 3, id="the-narrowest"),
        pytest.param(IPV4, [link(2, "192.0.2.1/24"), link(3, "192.0.2.2/24")], 2, id="the-first-of-equals"),
        pytest.param(IPV4, [link(2, "192.0.2.1/24", up=False), link(3, "192.0.0.2/16")], 3, id="one-that-is-up"),
        pytest.param(IPV4, [link(2, "192.0.2.1/24"), link(3, "192.0.2.9/32")], 2, id="a-single-address-leads-nowhere"),
        pytest.param(IPV4, [link(1, "192.0.2.1/24", loopback=True), link(4, "192.0.0.1/16")], 4, id="not-loopback"),
    ],
)
def test_an_address_goes_to_the_interface_whose_network_contains_it(
    address: Address, links: list[Link], index: int
) -> None:
    assert link_for(address, links).index == index


@pytest.mark.parametrize("links", [[], [link(2, "198.51.100.1/24", "2001:db8::1/64")], [link(2, "192.0.2.9/32")]])
def test_an_address_of_no_network_is_refused(links: list[Link]) -> None:
    with pytest.raises(AddressFault) as caught:
        link_for(IPV4, links)
    assert caught.value.key == "address-without-interface"


def test_gratuitous_arp_is_sent_as_a_request_and_as_a_reply() -> None:
    request, reply = frames(Place(IPV4, "eth0", MAC))
    head = "ffffffffffff02aabbccddee0806000108000604"
    assert request.hex() == head + "000102aabbccddeec0000209000000000000c0000209"
    assert reply.hex() == head + "000202aabbccddeec0000209ffffffffffffc0000209"


def test_an_arp_probe_claims_nothing() -> None:
    head = "ffffffffffff02aabbccddee0806000108000604"
    assert arp_probe(MAC, IPV4).hex() == head + "000102aabbccddee00000000000000000000c0000209"


def test_an_unsolicited_advertisement_overrides_what_neighbours_remember() -> None:
    (frame,) = frames(Place(IPV6, "eth0", MAC))
    source, all_nodes = IPV6.packed.hex(), IPv6Address("ff02::1").packed.hex()
    assert frame[:14].hex() == "33330000000102aabbccddee86dd"
    assert frame[14:54].hex() == "6000000000203aff" + source + all_nodes
    assert frame[54:56].hex() == "8800"
    assert frame[58:].hex() == "20000000" + source + "020102aabbccddee"


@given(st.ip_addresses(v=6))
def test_the_advertisements_checksum_is_right(address: IPv6Address) -> None:
    (frame,) = frames(Place(address, "eth0", MAC))
    pseudo = frame[22:54] + (32).to_bytes(4, "big") + (58).to_bytes(4, "big")
    assert checksum(pseudo + frame[54:]) == 0


def test_the_internet_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2
