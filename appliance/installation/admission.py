"""Who may join: the checks of a control node, as pure functions over what the server said and what is known.

Each refusal is a reason that the operator of the refused server reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName, Seconds
from appliance.coordination.etcd_roles import ROOT
from appliance.errors import PosthouseError
from appliance.installation import accounts
from appliance.installation.join_messages import JoinRequest

#: What two nodes' clocks may differ: the margin of the ownership protocol's times (docs/developers/ownership.md).
LARGEST_SKEW = Seconds(1.0)


#: Below it are the names by which nodes know control nodes, the store and each other's mail engines.
INSIDE = "posthouse.internal"


class NotAdmitted(PosthouseError):
    """The server cannot be part of this cluster; nothing was changed for it."""


@dataclass(frozen=True)
class Here:
    """The control node that is asked: its release, and its clock (Unix time) when the request came."""

    release: str
    now: float


def refusals(
    request: JoinRequest, roles: frozenset[Role], nodes: Mapping[NodeName, Node], here: Here, *, again: bool = False
) -> Iterator[NotAdmitted]:
    """Every reason against it. `again`: it has proved to be the server that was let in under this name before."""
    if not releases_fit(request.release, here.release):
        yield NotAdmitted("join-release", theirs=request.release, ours=here.release)
    yield from _numbers(request)
    skew = request.now - here.now
    if abs(skew) >= LARGEST_SKEW:
        yield NotAdmitted("join-clock", seconds=round(skew, 1), most=LARGEST_SKEW)
    others = {name: node for name, node in nodes.items() if not (again and name == request.name)}
    yield from _taken(request, others)
    families = {node.address.version for node in nodes.values() if node.address}
    if families and request.address.version not in families:
        yield NotAdmitted("join-address-family", address=str(request.address))
    yield from _reserved(request)
    if Role.WITNESS in roles and Role.CONTROL in roles:
        yield NotAdmitted("join-witness-alone")


def releases_fit(one: str, other: str) -> bool:
    """Whether nodes of these releases work side by side: the same major number, minor numbers at most one apart."""
    try:
        first, second = (tuple(int(part) for part in text.split(".")[:2]) for text in (one, other))
    except ValueError:
        return False
    return len(first) == len(second) == 2 and first[0] == second[0] and abs(first[1] - second[1]) <= 1  # noqa: PLR2004 - N.M


def _numbers(request: JoinRequest) -> Iterator[NotAdmitted]:
    """Accounts that own files on volumes: their numbers are written there, not their names."""
    for key, wanted, theirs in zip(
        ("join-uid", "join-gid"), accounts.wanted_numbers(), (request.users, request.groups), strict=True
    ):
        for name, number in wanted.items():
            have = theirs.get(name)
            if have != number:
                yield NotAdmitted(key, name=name, ours=number, theirs="-" if have is None else have)


def _reserved(request: JoinRequest) -> Iterator[NotAdmitted]:
    """Names that would make the certificate somebody else's: the store's own user, and what the inside is known by."""
    if request.name == ROOT:
        yield NotAdmitted("join-name-reserved", name=request.name)
    if f".{request.hostname}".endswith(f".{INSIDE}"):
        yield NotAdmitted("join-name-reserved", name=request.hostname)


def _taken(request: JoinRequest, nodes: Mapping[NodeName, Node]) -> Iterator[NotAdmitted]:
    for node in nodes.values():
        if node.name == request.name:
            yield NotAdmitted("join-name-taken", name=node.name)
        elif node.machine_id == request.machine_id:
            yield NotAdmitted("join-machine-taken", name=node.name)
        if node.address == request.address:
            yield NotAdmitted("join-address-taken", address=str(request.address), name=node.name)
