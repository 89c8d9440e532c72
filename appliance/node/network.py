"""Network interfaces and their addresses."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

import psutil


@dataclass(frozen=True)
class Interface:
    """`speed` in Mbit/s, None where the driver does not say."""

    name: str
    up: bool
    hardware_address: str | None
    mtu: int
    speed: int | None
    addresses: tuple[str, ...]


def interfaces() -> tuple[Interface, ...]:
    """Every interface, loopback last."""
    states = psutil.net_if_stats()
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        state = states.get(name)
        hardware = next((each.address for each in addresses if each.family == psutil.AF_LINK), None)
        found.append(
            Interface(
                name=name,
                up=bool(state and state.isup),
                hardware_address=None if hardware in {None, "00:00:00:00:00:00"} else hardware,
                mtu=state.mtu if state else 0,
                speed=(state.speed or None) if state else None,
                addresses=tuple(
                    str(with_prefix(each.address, each.netmask))
                    for each in addresses
                    if each.family in {socket.AF_INET, socket.AF_INET6}
                ),
            )
        )
    return tuple(sorted(found, key=lambda each: (each.name == "lo", each.name)))


def with_prefix(address: str, netmask: str | None) -> IPv4Interface | IPv6Interface:
    """`192.0.2.1` and `255.255.255.0` as 192.0.2.1/24; the zone of a link-local address is dropped."""
    plain = address.partition("%")[0]
    if netmask is None:
        return ip_interface(plain)
    if ":" in netmask:
        return ip_interface(f"{plain}/{bin(int(IPv6Interface(netmask).ip)).count('1')}")
    return ip_interface(f"{plain}/{netmask}")
