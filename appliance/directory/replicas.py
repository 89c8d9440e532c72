"""Which nodes hold the directory, and which of them take writes from others. Pure.

Up to three directory nodes are providers: each follows the others, so any of them can take writes. Every other node
with slapd follows the providers and is only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from appliance.coordination.addresses import host

#: Not 636: below 1024 slapd would need a capability, and only our own servers ask here.
PORT: Final = 7636
MOST_PROVIDERS: Final = 3
#: A node of one of these may administer the directory over the network, by its own certificate.
ADMINISTERING: Final = frozenset({Role.CONTROL, Role.DIRECTORY, Role.WEB})


def providers(nodes: Mapping[NodeName, Node]) -> tuple[Node, ...]:
    """The nodes that take writes: the first directory nodes, by the order in which they joined."""
    able = [n for n in nodes.values() if Role.DIRECTORY in n.roles and n.address is not None and n.number is not None]
    return tuple(sorted(able, key=lambda node: node.number or 0)[:MOST_PROVIDERS])


def administrators(nodes: Mapping[NodeName, Node]) -> tuple[NodeName, ...]:
    """The nodes that may write."""
    return tuple(sorted(node.name for node in nodes.values() if node.roles & ADMINISTERING))


def url(address: IPv4Address | IPv6Address) -> str:
    """Where a replica serves the others."""
    return f"ldaps://{host(address)}:{PORT}"


def server_id(node: Node) -> str:
    """The node's part in change sequence numbers: three hexadecimal digits (OpenLDAP's csn format)."""
    return f"{node.number or 0:03x}"
