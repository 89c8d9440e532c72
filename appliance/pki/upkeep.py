"""The certificates that a node needs: made when missing, renewed in the last third of their life.

`posthouse init` calls `ensure` once, the agent calls it every few hours. It is idempotent;
engines notice a change by the content of the files.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from appliance import durable_files, paths
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName
from appliance.errors import PosthouseError
from appliance.node_file import STORE_NAME, NodeFile
from appliance.pki.authority import (
    Address,
    Authority,
    Pair,
    Profile,
    issued_by,
    names_of,
    renewal_due,
)
from appliance.pki.names import CONTROL_NAME, MAIL_NAME
from appliance.pki.pairs import PairSlot

log = logging.getLogger(__name__)

#: Of these roles are nodes with a store member, and nodes with a replica of the directory.
STORE_ROLES = frozenset({Role.CONTROL, Role.WITNESS})
DIRECTORY_ROLES = frozenset({Role.DIRECTORY, Role.STORE, Role.EDGE})
LOOPBACK: tuple[Address, ...] = (ip_address("127.0.0.1"), ip_address("::1"))


@dataclass(frozen=True)
class Wanted:
    """A certificate that the node needs."""

    slot: PairSlot
    profile: Profile
    common_name: str
    names: tuple[str, ...]
    addresses: tuple[Address, ...] = ()


def authority_paths(folder: Path) -> tuple[Path, Path]:
    """Certificate and key of the authority. Only the key's presence lets a node issue."""
    return folder / "ca.crt", folder / "ca.key"


def load_authority(folder: Path | None = None) -> Authority | None:
    """The installation's authority, or None where its key is not kept."""
    certificate, key = authority_paths(folder or paths.PKI)
    try:
        return Authority.load(Pair(certificate.read_bytes(), key.read_bytes()))
    except FileNotFoundError:
        return None


def ensure_authority(installation: str, folder: Path | None = None) -> Authority:
    """Load the authority, or make one. Raises PosthouseError where the certificate stands without its key:
    then another node keeps the key, and a new authority would split the installation.
    """
    where = folder or paths.PKI
    found = load_authority(where)
    if found is not None:
        return found
    certificate, key = authority_paths(where)
    if certificate.exists():
        raise PosthouseError("tls-authority-key-missing", path=str(key))
    where.mkdir(parents=True, exist_ok=True)
    made = Authority.create(installation)
    pair = made.pair()
    # The key first: a crash in between leaves a key without a certificate, which the next run replaces.
    durable_files.replace(key, pair.key, 0o600)
    durable_files.replace(certificate, pair.certificate, 0o644)
    return made


def mail_slot(folder: Path | None = None) -> PairSlot:
    """What SMTP, IMAP and POP3 present."""
    return PairSlot(folder or paths.PKI, "mail")


def slots(folder: Path | None = None) -> tuple[PairSlot, ...]:
    """Every pair that a node may have."""
    where = folder or paths.PKI
    directory = PairSlot(where, "slapd", group="openldap")
    of_node, of_store = PairSlot(where, "node"), PairSlot(where, "etcd", group="etcd")
    return of_node, of_store, directory, mail_slot(where), PairSlot(where, "inside"), PairSlot(where, "relay")


def wanted(node: NodeFile, addresses: Sequence[Address], folder: Path | None = None) -> tuple[Wanted, ...]:
    """The certificates that a node's roles ask for; `addresses` are further ones that others reach it by."""
    of_node, of_store, of_directory, of_mail, of_inside, of_relay = slots(folder)
    inside = (node.hostname, node.name, "localhost")
    known = (*LOOPBACK, *((node.address,) if node.address else ()), *addresses)
    reachable = tuple(dict.fromkeys(known))
    control = (CONTROL_NAME,) if Role.CONTROL in node.roles else ()
    found = [Wanted(of_node, Profile.NODE, node.name, (*inside, *control), reachable)]
    if node.roles & STORE_ROLES:
        found.append(Wanted(of_store, Profile.NODE, node.name, (*inside, STORE_NAME), reachable))
    if node.address and node.roles & DIRECTORY_ROLES:
        name = directory_name(node.name)
        found.append(Wanted(of_directory, Profile.NODE, name, (node.hostname, node.name, name), (node.address,)))
    if node.roles != {Role.WITNESS}:
        found.append(Wanted(of_mail, Profile.MAIL, node.hostname, (node.hostname,)))
        found.append(Wanted(of_inside, Profile.INSIDE, relay_name(node.name), (MAIL_NAME,)))
        found.append(Wanted(of_relay, Profile.RELAY, relay_name(node.name), (MAIL_NAME,)))
    return tuple(found)


def directory_name(node: NodeName) -> str:
    """The common name by which other replicas know a node's slapd. No node can be called so, which matters: the store
    takes a common name for a node's."""
    return f"slapd.{node}"


def relay_name(node: NodeName) -> str:
    """The common name of what a node's mail engines show each other; no node can be called so either."""
    return f"mail.{node}"


def due(want: Wanted, found: Pair | None, issuer: x509.Certificate, now: datetime) -> bool:
    """True when a certificate has to be issued by `issuer`. What an operator installed is left alone."""
    if found is None:
        return True
    leaf = found.leaf()
    if not issued_by(leaf, issuer):
        return want.slot.name != "mail"
    missing = {*want.names, *map(str, want.addresses)} - names_of(leaf)
    return bool(missing) or renewal_due(leaf, now)


def ensure(
    node: NodeFile, addresses: Sequence[Address] = (), folder: Path | None = None, now: datetime | None = None
) -> tuple[str, ...]:
    """Issue what is missing or due; return the names of the pairs that changed.

    On a node that does not keep the authority's key, nothing can be issued and () is returned.
    """
    authority = load_authority(folder)
    if authority is None:
        return ()
    moment = now or datetime.now(UTC)
    changed = []
    for want in wanted(node, addresses, folder):
        if due(want, want.slot.read(), authority.certificate, moment):
            issue(want, authority, moment)
            changed.append(want.slot.name)
    return tuple(changed)


def issue(want: Wanted, authority: Authority, now: datetime) -> None:
    """Issue one certificate and put it in force."""
    want.slot.write(authority.issue(want.profile, want.common_name, want.names, want.addresses, now))
    log.info("issued the %s certificate for %s", want.slot.name, ", ".join(want.names))


def issue_mail(node: NodeFile, folder: Path | None = None) -> None:
    """Issue a new certificate for mail, in place of whatever is in force (also an operator's own).

    Raises PosthouseError on a node that does not keep the authority's key.
    """
    authority = load_authority(folder)
    if authority is None:
        raise PosthouseError("tls-authority-key-missing", path=str(authority_paths(folder or paths.PKI)[1]))
    want = next(each for each in wanted(node, (), folder) if each.profile is Profile.MAIL)
    issue(want, authority, datetime.now(UTC))
