"""A group's virtual addresses: added, removed and announced through netlink, without a program or a disk.

Called by the keeper. Importing this costs about 0.1 s and 10 MB (pyroute2): import it when
a process starts, not when a group is to be taken over.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError
from nodeagent.resources import announce as announcing
from nodeagent.resources.announce import Address, Place

log = logging.getLogger("posthouse.addresses")

#: How long somebody else may take to answer for an address before it is added.
PROBE_WAIT = Seconds(0.2)

_UP = 0x1
_LOOPBACK = 0x8
_MAC_LENGTH = 6
#: IFA_F_NODAD | IFA_F_NOPREFIXROUTE (<linux/if_addr.h>)
_NODAD = 0x02
_NOPREFIXROUTE = 0x200
_FOREVER = 0xFFFFFFFF


class AddressFault(PosthouseError):
    """An address cannot be added, removed or announced on this node."""


@dataclass(frozen=True)
class Link:
    """A network interface; `networks` are those of the addresses on it, virtual ones among them."""

    index: int
    name: str
    mac: bytes
    up: bool
    loopback: bool
    networks: tuple[IPv4Interface | IPv6Interface, ...]


def link_for(address: Address, links: Iterable[Link]) -> Link:
    """The interface whose network contains the address: the narrowest network, then one that is up. Pure.

    Raises AddressFault when there is none. A network of a single address leads nowhere.
    """
    reached = [
        (each.up, network.network.prefixlen, -each.index, each)
        for each in links
        for network in each.networks
        if not each.loopback
        and network.version == address.version
        and network.network.prefixlen < network.max_prefixlen
        and address in network.network
    ]
    if not reached:
        raise AddressFault("address-without-interface", address=str(address))
    return max(reached, key=lambda found: found[:3])[3]


def add(addresses: Sequence[Address], *, probe: bool = False) -> None:
    """Add the addresses, each to the interface whose network contains it. What is there already stays.

    As VRRP daemons do: for this host alone (/32, /128), without a route and without duplicate detection, which would
    hold an IPv6 address back for a second; and an IPv6 one is never chosen as the source by itself.
    `probe`: first ask whether somebody else answers for them; raises AddressFault then and adds none.
    """
    with _netlink() as netlink:
        links = list(_links(netlink))
        here = _on(links)
        wanted = {address: link_for(address, links) for address in addresses if address not in here}
        if probe:
            _refuse_taken(wanted)
        for address, link in wanted.items():
            _change(netlink, "add", address, link)
            log.info("address %s added to %s", address, link.name)


def remove(addresses: Sequence[Address]) -> None:
    """Remove the addresses, wherever they are on this node. One that is not there is no error."""
    with _netlink() as netlink:
        here = _on(_links(netlink))
        for address in addresses:
            for link in here.get(address, ()):
                _change(netlink, "del", address, link)
                log.info("address %s removed from %s", address, link.name)


def present(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Those that are on this node."""
    with _netlink() as netlink:
        here = _on(_links(netlink))
    return tuple(address for address in addresses if address in here)


def announce(
    addresses: Sequence[Address], *, repeat: bool = False, pause: Callable[[float], None] = time.sleep
) -> None:
    """Tell the neighbours that the addresses are here: now, and with `repeat` again after 1 s and 3 s.

    Once takes a millisecond. Repeating blocks, and looks each time whether the address is still here, so that a node
    which has given it up meanwhile says nothing: for a process of its own that the drop ends. Call it again when a
    partition may have healed. Addresses that are not here are left out; raises AddressFault.
    """
    sent = 0.0
    for due in announcing.REPEATS if repeat else announcing.REPEATS[:1]:
        if due > sent:
            pause(due - sent)
        sent = due
        with _netlink() as netlink:
            places = _places(addresses, netlink)
        try:
            announcing.send(places)
        except OSError as error:
            named = ", ".join(map(str, addresses))
            raise AddressFault("address-not-announced", addresses=named, detail=error.strerror or "") from error


def answered_elsewhere(addresses: Sequence[Address], wait: Seconds = PROBE_WAIT) -> dict[Address, str]:
    """Which of the addresses another machine answers for now, with its MAC address. Only IPv4 is asked for."""
    with _netlink() as netlink:
        links = list(_links(netlink))
    here = _on(links)
    return _answers({each: link_for(each, links) for each in addresses if each not in here}, wait)


def _answers(wanted: dict[Address, Link], wait: Seconds) -> dict[Address, str]:
    probes = [Place(each, link.name, link.mac) for each, link in wanted.items() if len(link.mac) == _MAC_LENGTH]
    return announcing.answers(probes, wait)


def _refuse_taken(wanted: dict[Address, Link]) -> None:
    for address, mac in _answers(wanted, PROBE_WAIT).items():
        raise AddressFault("address-taken", address=str(address), mac=mac)


def _places(addresses: Sequence[Address], netlink: Any) -> list[Place]:
    here = _on(_links(netlink))
    return [
        Place(address, link.name, link.mac)
        for address in addresses
        for link in here.get(address, ())
        if len(link.mac) == _MAC_LENGTH and link.up and not link.loopback
    ]


# --- netlink ----------------------------------------------------------------------------------------------


def _netlink() -> Any:
    return IPRoute()


def _links(netlink: Any) -> Iterator[Link]:
    networks: dict[int, list[IPv4Interface | IPv6Interface]] = {}
    for found in netlink.get_addr():
        # On a point-to-point link IFA_ADDRESS is the peer's; IPv6 has IFA_LOCAL only there (rtnetlink(7)).
        text = found.get("IFA_LOCAL") or found.get("IFA_ADDRESS")
        if text:
            networks.setdefault(found["index"], []).append(ip_interface(f"{text}/{found['prefixlen']}"))
    for found in netlink.get_links():
        flags = found["flags"]
        yield Link(
            found["index"],
            found.get("IFLA_IFNAME"),
            bytes.fromhex((found.get("IFLA_ADDRESS") or "").replace(":", "")),
            bool(flags & _UP),
            bool(flags & _LOOPBACK),
            tuple(networks.get(found["index"], ())),
        )


def _on(links: Iterable[Link]) -> dict[Address, list[Link]]:
    """Which addresses are here, and on which interfaces."""
    found: dict[Address, list[Link]] = {}
    for link in links:
        for network in link.networks:
            found.setdefault(network.ip, []).append(link)
    return found


def _change(netlink: Any, command: str, address: Address, link: Link) -> None:
    words: dict[str, Any] = {"index": link.index, "address": str(address), "prefixlen": address.max_prefixlen}
    if command == "add":
        words["IFA_FLAGS"] = _NOPREFIXROUTE | (_NODAD if address.version == 6 else 0)  # noqa: PLR2004 - the IP version
        if address.version == 6:  # noqa: PLR2004 - deprecated (RFC 6724, 5, rule 3), but valid
            words["IFA_CACHEINFO"] = {"ifa_preferred": 0, "ifa_valid": _FOREVER}
    try:
        netlink.addr(command, **words)
    except NetlinkError as error:
        if error.code not in {errno.EEXIST, errno.EADDRNOTAVAIL}:
            key = "address-not-added" if command == "add" else "address-not-removed"
            raise AddressFault(key, address=str(address), interface=link.name, detail=str(error)) from error
