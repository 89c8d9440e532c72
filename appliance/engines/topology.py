"""Ports and addresses of the mail topology that more than one engine must agree on.

The whole table is drawn in docs/developers/mail-topology.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, MAIL_GROUP, EngineName, GroupName, InstanceId, NodeName

SMTP: Final = 25
SUBMISSION: Final = 587
SUBMISSIONS: Final = 465
REENTRY: Final = 10025
INTAKE: Final = 10026
FROM_EDGE: Final = 10027
IMAP: Final = 143
IMAPS: Final = 993
POP3: Final = 110
POP3S: Final = 995
MANAGESIEVE: Final = 4190

#: What an engine waits for when it answers: the node's own directory, or an engine of the same group.
_SLAPD: Final = EngineName("slapd")
_DOVECOT: Final = EngineName("dovecot")
_POSTFIX: Final = EngineName("postfix")
_NEEDS: Final = {_DOVECOT: (_SLAPD,), _POSTFIX: (_SLAPD, _DOVECOT)}

#: The edge of a node: a Dovecot that keeps no mail and passes sessions on to the groups.
EDGE: Final = InstanceId(_DOVECOT, LOCAL_GROUP)

Address = IPv4Address | IPv6Address


def needs(instance: InstanceId) -> tuple[InstanceId, ...]:
    """The instances without which this one cannot answer: while one of them is ill, a restart here mends nothing."""
    return tuple(
        InstanceId(engine, LOCAL_GROUP if engine == _SLAPD else instance.group)
        for engine in _NEEDS.get(instance.engine, ())
    )


def reentry_host(group: GroupName) -> str:
    """The loopback address where mail of the group's Sieve scripts comes back in.

    Groups on one node must not share it, or one group's vacation replies would enter another's queue.
    """
    if group == MAIL_GROUP:
        return "127.0.0.1"
    high, low = hashlib.sha256(group.encode("ascii")).digest()[:2]
    return f"127.57.{high}.{low or 1}"


def reentry(group: GroupName) -> str:
    """HOST:PORT of the re-entry service."""
    return f"{reentry_host(group)}:{REENTRY}"


def probe_address(group: ServiceGroup) -> str:
    """Where this node finds the group's listeners."""
    return str(group.addresses[0]) if group.addresses else "127.0.0.1"


def edge_addresses(node: Node, groups: Iterable[ServiceGroup], chosen: tuple[Address, ...] = ()) -> tuple[Address, ...]:
    """Where the node's edge listens: the `chosen` addresses that are no group's, or the node's own; nowhere while it
    has no edge.

    It has none while there is no group to pass a session on to, and while a group that listens on every address of
    its node could come here: both want the same ports.
    """
    serving = [group for group in groups if _DOVECOT in group.services]
    if Role.EDGE not in node.roles or node.address is None or not any(group.addresses for group in serving):
        return ()
    if any(not group.addresses and group.may_run_on(node) for group in serving):
        return ()
    return tuple(each for each in chosen if owner_of(each, serving) is None) or (node.address,)


def owner_of(address: Address, groups: Iterable[ServiceGroup]) -> ServiceGroup | None:
    """The group whose address it is."""
    return next((group for group in groups if address in group.addresses), None)


def edge_sources(nodes: Mapping[NodeName, Node]) -> tuple[Address, ...]:
    """Where the sessions come from that edges pass on."""
    found = (node.address for _, node in sorted(nodes.items()) if Role.EDGE in node.roles)
    return tuple(address for address in found if address is not None)


def mail_domain(hostname: str) -> str:
    """The domain that unqualified addresses belong to: the host's parent, unless that is a single label."""
    parent = hostname.partition(".")[2]
    return parent if "." in parent else hostname
