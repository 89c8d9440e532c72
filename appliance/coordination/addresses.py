"""Where the store's members answer, as it follows from the nodes' records. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from zlib import crc32

from appliance.cluster.model import Node
from appliance.cluster.names import NodeName

CLIENT_PORT = 2379
PEER_PORT = 2380

Address = IPv4Address | IPv6Address


def host(address: Address) -> str:
    """The address as it stands in a URL (RFC 3986, 3.2.2)."""
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def client_url(address: Address) -> str:
    """Where a member serves clients."""
    return f"https://{host(address)}:{CLIENT_PORT}"


def peer_url(address: Address) -> str:
    """Where a member serves other members."""
    return f"https://{host(address)}:{PEER_PORT}"


def endpoints(nodes: Mapping[NodeName, Node], me: NodeName) -> tuple[str, ...]:
    """The voting members' endpoints for the node `me`: its own first, the others in an order that differs from node
    to node, so that not all ask the same member."""
    voters = [node for node in nodes.values() if node.voter and node.address is not None]
    voters.sort(key=lambda node: (node.name != me, crc32(f"{me} {node.name}".encode())))
    return tuple(client_url(node.address) for node in voters if node.address is not None)
