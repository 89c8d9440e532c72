"""The steps of `posthouse cluster init`: a server that stands alone becomes a cluster of one, which others can join.

Each step looks first. The store's own restart, when its member begins to listen on the address, interrupts nothing
else: groups that only this node can serve outlive the store.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from appliance import node_file, paths
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName, Seconds
from appliance.coordination import addresses, revoked
from appliance.coordination.access import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.etcd_members import EtcdMembers
from appliance.coordination.etcd_roles import ROOT, EtcdRoles
from appliance.coordination.store import StoreUnavailable
from appliance.errors import BadInput, PosthouseError
from appliance.installation import cluster_state, issued
from appliance.installation.join_messages import Address
from appliance.installation.steps import Step, systemctl
from appliance.node.network import interfaces
from appliance.node_file import NodeFile, StoreAccess
from appliance.pki import revocation, sealing, upkeep

#: What a control node runs besides keeper and agent; one that this release does not have is passed over.
MOVES_UNIT = "posthouse-moves.service"
CONTROL_UNITS = ("posthouse-join.service", "posthouse-controller.service")
_LISTENS_WITHIN = Seconds(60.0)
_UNITS = Path("/lib/systemd/system")


def check(identity: NodeFile, address: Address) -> None:
    """Raise BadInput for an address that cannot be the node's, PosthouseError on a node that cannot begin a cluster."""
    cluster_state.need_etcd(identity)
    if identity.address not in (None, address):
        raise BadInput("address", "init-identity-is-set", value=str(address), old=str(identity.address))
    own_address(address)
    if Role.CONTROL not in identity.roles or upkeep.load_authority() is None:
        raise PosthouseError("cluster-not-first")


def own_address(address: Address) -> None:
    """Raise BadInput unless it is an address of this server that others can reach."""
    unusable = address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
    own = {text.partition("/")[0] for interface in interfaces() for text in interface.addresses}
    if unusable or str(address) not in own:
        raise BadInput("address", "cluster-address-not-own", value=str(address), own=", ".join(sorted(own)))


def steps(identity: NodeFile, address: Address) -> Iterable[Step]:
    """Every step, in order. `identity` is what node.yaml says now."""
    store = StoreAccess(endpoints=(addresses.client_url(address),))
    among = identity.model_copy(update={"address": address, "store": store})
    if identity.address is not None:  # its endpoints may have grown meanwhile
        among = identity
    yield Step("cluster-step-keys", lambda: _make_keys(among))
    yield Step("cluster-step-record", lambda: _write_record(identity, address))
    yield Step("cluster-step-store", lambda: _open_store(among, address))
    yield Step("cluster-step-users", lambda: _close_store(among))
    yield Step("cluster-step-identity", lambda: _write_identity(among))
    yield Step("cluster-step-units", start_control_units)


def _make_keys(among: NodeFile) -> bool:
    """Certificates for the address, and the key that seals secrets in the store."""
    sealing_made = sealing.ensure_key()
    made = bool(upkeep.ensure(among)) or sealing_made
    return _begin_list(among) or made


def _begin_list(among: NodeFile) -> bool:
    """The list of revoked certificates, before the store's member starts anew: it reads the file's name once."""
    authority = upkeep.load_authority()
    assert authority is not None
    with EtcdStore(node_file.read().store.endpoints, Keys.read()) as store:
        issued.begin(store, authority)
        issued.note_own(store, among)
        found = revoked.read(store)
    return found is not None and revocation.keep(found)


def _write_record(identity: NodeFile, address: Address) -> bool:
    with EtcdStore(identity.store.endpoints, Keys.read()) as store:
        node, _ = cluster_state.find(store, identity.name)
        number = node.number or cluster_state.next_number(store)
        machine_id = Path("/etc/machine-id").read_text().strip()
        return cluster_state.change(
            store,
            identity.name,
            address=address,
            hostname=identity.hostname,
            number=number,
            machine_id=machine_id,
            voter=True,
        )


def _open_store(among: NodeFile, address: Address) -> bool:
    """Wait until the member listens on the address, and tell its peer URL to whom it adds. The agent restarts it."""
    _wait_until_listening(among, address)
    members = EtcdMembers([addresses.client_url(address)], Keys.read())
    try:
        own = next((member for member in members.list() if member.name == among.name), None)
        if own is None:
            raise PosthouseError("cluster-no-member", name=among.name)
        if own.peer_urls == (addresses.peer_url(address),):
            return False
        members.update(own, addresses.peer_url(address))
    finally:
        members.close()
    return True


def _wait_until_listening(among: NodeFile, address: Address) -> None:
    until = time.monotonic() + _LISTENS_WITHIN
    while True:
        try:
            with EtcdStore([addresses.client_url(address)], Keys.read(), deadline=Seconds(2.0)) as store:
                cluster_state.find(store, among.name)
                return
        except StoreUnavailable:
            if time.monotonic() >= until:
                raise


def _close_store(among: NodeFile) -> bool:
    """From now on the store knows its users."""
    roles = EtcdRoles(among.store.endpoints, Keys.read())
    try:
        before = roles.knows(NodeName(ROOT))
        roles.admit(among.name, among.roles)
        roles.enable()
    finally:
        roles.close()
    return not before


def _write_identity(among: NodeFile) -> bool:
    if node_file.read() == among:
        return False
    node_file.write(among)
    return True


def start_control_units() -> bool:
    """Start what control nodes run, now and at every boot."""
    present = [unit for unit in CONTROL_UNITS if (_UNITS / unit).exists()]
    before = systemctl("is-active", *present, check=False).split()
    systemctl("enable", *present)
    # the last one has nothing to do on a server alone; afterwards the agent wants it wherever it starts
    systemctl("start", *present, *(unit for unit in (MOVES_UNIT,) if (_UNITS / unit).exists()))
    return before != ["active"] * len(present)


def authority_fingerprint() -> str:
    """SHA-256 of the authority's certificate, hexadecimal."""
    found = x509.load_pem_x509_certificate((paths.PKI / "ca.crt").read_bytes())
    return found.fingerprint(hashes.SHA256()).hex()
