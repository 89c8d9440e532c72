"""Telling the network where an address now is: gratuitous ARP (RFC 5227, 3; RFC 5944, 4.6), unsolicited neighbour
advertisements (RFC 4861, 7.2.6).

Frames are made here and sent through packet sockets, so that they leave at once and by
the interface that carries the address. Some stacks heed only ARP requests, others only
replies: both are sent, as VRRP daemons do.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

#: When an announcement is sent, seconds after the first: a frame may get lost, a switch may just be learning.
REPEATS = (0.0, 1.0, 3.0)

_BROADCAST = b"\xff" * 6
_ETH_ARP = 0x0806
_ETH_IPV6 = 0x86DD
_ALL_NODES = IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ICMPV6 = 58
_ADVERTISEMENT = 136
_OVERRIDE = 0x20000000
_TARGET_LINK_LAYER = 2
_REQUEST = 1
_REPLY = 2


@dataclass(frozen=True)
class Place:
    """An address, and the interface that carries it. `mac` is 6 bytes: Ethernet, or what looks like it."""

    address: Address
    interface: str
    mac: bytes


def frames(place: Place) -> tuple[bytes, ...]:
    """What announces an address: Ethernet frames, ready to be sent."""
    if isinstance(place.address, IPv4Address):
        sender = place.address.packed
        return (
            _arp(_REQUEST, place.mac, sender, b"\0" * 6, sender),
            _arp(_REPLY, place.mac, sender, _BROADCAST, sender),
        )
    return (_advertisement(place.mac, place.address),)


def arp_probe(mac: bytes, address: IPv4Address) -> bytes:
    """The frame that asks whether somebody has the address, without claiming it (RFC 5227, 2.1.1)."""
    return _arp(_REQUEST, mac, b"\0" * 4, b"\0" * 6, address.packed)


def _arp(operation: int, mac: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    header = _BROADCAST + mac + struct.pack("!H", _ETH_ARP)
    return header + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + sender + target_mac + target


def _advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """Not solicited, and overriding what neighbours remember."""
    option = struct.pack("!BB", _TARGET_LINK_LAYER, 1) + mac
    rest = struct.pack("!I", _OVERRIDE) + address.packed + option
    bare = struct.pack("!BBH", _ADVERTISEMENT, 0, 0) + rest
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!II", len(bare), _ICMPV6)
    message = struct.pack("!BBH", _ADVERTISEMENT, 0, checksum(pseudo + bare)) + rest
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255) + address.packed + _ALL_NODES.packed
    return _ALL_NODES_MAC + mac + struct.pack("!H", _ETH_IPV6) + header + message


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(places: Iterable[Place]) -> None:
    """Send every announcement once, now. Raises OSError."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:
        for place in places:
            for frame in frames(place):
                link.sendto(frame, (place.interface, 0))


def answers(probes: Iterable[Place], wait: float) -> dict[Address, str]:
    """Ask on the link for IPv4 addresses that are not here; return who answered, as MAC addresses, within `wait` s.

    `mac` of a probe is the asking interface's. IPv6 finds duplicates by itself, but with a second's delay: not asked.
    """
    asked = {place.address: place for place in probes if isinstance(place.address, IPv4Address)}
    found: dict[Address, str] = {}
    if not asked:
        return found
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_ARP)) as link:
        for address, place in asked.items():
            assert isinstance(address, IPv4Address)
            link.sendto(arp_probe(place.mac, address), (place.interface, 0))
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0 and len(found) < len(asked):
            link.settimeout(left)
            try:
                frame, (interface, *_) = link.recvfrom(2048)
            except TimeoutError:
                break
            sender = _arp_sender(frame)
            if sender is not None and sender[0] in asked and asked[sender[0]].interface == interface:
                found[sender[0]] = sender[1]
    return found


def _arp_sender(frame: bytes) -> tuple[IPv4Address, str] | None:
    """Who says in an ARP frame that an address is theirs."""
    if len(frame) < 42 or frame[12:20] != struct.pack("!HHHBB", _ETH_ARP, 1, 0x0800, 6, 4):  # noqa: PLR2004 - ARP
        return None
    return IPv4Address(frame[28:32]), frame[22:28].hex(":")
