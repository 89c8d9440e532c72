"""What a control node does to let a server in: certificates, store member, users and record, in an order that can be
repeated after a failure at any step.

The node's record comes before what is made for it, so that whatever is left of a server that never came can be removed
by its name.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from pydantic import BaseModel

from appliance import node_file, paths
from appliance.cluster import keys
from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from appliance.coordination import addresses, join_tokens, revoked
from appliance.coordination.access import Keys
from appliance.coordination.connection import EndpointFile
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.etcd_members import EtcdMembers, NotYet
from appliance.coordination.etcd_roles import EtcdRoles
from appliance.coordination.store import Store
from appliance.errors import BadInput, PosthouseError
from appliance.installation import admission, cluster_state, issued
from appliance.installation import join_messages as messages
from appliance.node_file import NodeFile
from appliance.pki import requests, upkeep
from appliance.pki.authority import Authority
from appliance.pki.upkeep import STORE_ROLES, Wanted

log = logging.getLogger("posthouse.join")

#: Files of the pki folder that control nodes share: the authority's key, and what seals secrets in the store.
SECRETS = ("ca.key", "sealing.key")
#: What stands for one that there is not (posthouse-join.service).
_NONE = b"none"


@dataclass(frozen=True)
class Peer:
    """Whose certificate a client showed, and its serial number (appliance/pki/revocation.py)."""

    name: NodeName
    serial: str


class Admitting:
    """Answers requests. `key_folder` holds ca.crt, ca.key, node.crt, node.key and, once there is one, sealing.key;
    `release` is this node's."""

    def __init__(self, node: NodeFile, key_folder: Path, release: str) -> None:
        self._node = node
        self._release = release
        self._folder = key_folder
        self._keys = Keys.read(key_folder)

    def answer(self, request: BaseModel, peer: Peer | None) -> BaseModel:
        """Carry a request out; `peer` is whose certificate came with it. Raises PosthouseError."""
        with EtcdStore(self._endpoints, self._keys, follow=EndpointFile(paths.NODE_FILE)) as store:
            if isinstance(request, messages.JoinRequest):
                return self._join(store, request)
            node = cluster_state.nodes(store).get(peer.name) if peer else None
            if peer is None or node is None or revoked.contains(store, peer.serial):
                raise PosthouseError("join-stranger")
            if isinstance(request, messages.CertifyRequest):
                return messages.CertifyAnswer(certificates=self._certify(store, node, request.requests))
            return self._vote(store, node)

    @property
    def _endpoints(self) -> tuple[str, ...]:
        return node_file.read().store.endpoints

    def _join(self, store: Store, request: messages.JoinRequest) -> messages.JoinAnswer:
        here = admission.Here(self._release, time.time())
        holder = requests.fingerprint(requests.public_key(request.requests.get("node", "")))
        grant = join_tokens.look(store, request.token, holder)
        nodes = cluster_state.nodes(store)
        again = cluster_state.is_held(store, request.name, holder)
        for refusal in admission.refusals(request, grant.roles, nodes, here, again=again):
            raise refusal
        join_tokens.redeem(store, request.token, holder)
        cluster_state.reserve(store, request.name, holder)
        known = nodes.get(request.name)
        node = Node(
            name=request.name,
            roles=grant.roles,
            hostname=request.hostname,
            address=request.address,
            number=known.number if known else cluster_state.next_number(store),
            machine_id=request.machine_id,
            voter=known.voter if known else False,
        )
        if known is None:  # what is still noted under the name was another server's
            issued.revoke(store, self._authority(), node.name)
        certificates = self._sign(store, node, request.requests)
        store.put(keys.node(node.name), node.model_dump_json())
        self._admit(node)
        if node.roles & STORE_ROLES:
            self._add_member(node)
        log.info("%s joins as %s", node.name, ", ".join(sorted(node.roles)))
        assert node.number is not None
        return messages.JoinAnswer(
            roles=node.roles,
            number=node.number,
            certificates=certificates,
            endpoints=addresses.endpoints(nodes, node.name) or self._endpoints,
            secrets=self._secrets() if Role.CONTROL in node.roles else {},
            revoked=revoked.read(store),
        )

    def _certify(self, store: Store, node: Node, asked: Mapping[str, str]) -> dict[str, str]:
        """Certificates for a node of the cluster. A removal revokes what was noted until the node's record went: whose
        record is gone after the note, or another server's, gets nothing."""
        signed = self._sign(store, node, asked)
        still = cluster_state.nodes(store).get(node.name)
        if still is None or still.number != node.number:
            made = (x509.load_pem_x509_certificate(each.encode()) for each in signed.values())
            issued.withdraw(store, self._authority(), node.name, made)
            raise PosthouseError("join-stranger")
        return signed

    def _sign(self, store: Store, node: Node, asked: Mapping[str, str]) -> dict[str, str]:
        """A certificate for every pair that the node's roles ask for, noted; all names are ours to say."""
        authority, signed = self._authority(), {}
        for want in wanted(node):
            if want.slot.name in asked:
                key = requests.public_key(asked[want.slot.name])
                made = authority.certify(key, want.profile, want.common_name, want.names, want.addresses)
                signed[want.slot.name] = made.decode("ascii")
        issued.note(store, node.name, (x509.load_pem_x509_certificate(each.encode()) for each in signed.values()))
        return signed

    def _authority(self) -> Authority:
        authority = upkeep.load_authority(self._folder)
        if authority is None:
            raise PosthouseError("tls-authority-key-missing", path=str(self._folder / "ca.key"))
        return authority

    def _admit(self, node: Node) -> None:
        roles = EtcdRoles(self._endpoints, self._keys)
        try:
            roles.admit(node.name, node.roles)
        finally:
            roles.close()

    def _add_member(self, node: Node) -> None:
        assert node.address is not None
        members = EtcdMembers(self._endpoints, self._keys)
        try:
            members.add_learner(addresses.peer_url(node.address))
        except NotYet as error:
            raise messages.Later("join-another-joins", detail=str(error.facts.get("detail", ""))) from error
        finally:
            members.close()

    def _vote(self, store: Store, node: Node) -> messages.VoteAnswer:
        if node.address is None or not node.roles & STORE_ROLES:
            raise BadInput("roles", "join-no-member", name=node.name)
        members = EtcdMembers(self._endpoints, self._keys)
        try:
            member = members.find(addresses.peer_url(node.address))
            if member is None:
                raise BadInput("roles", "join-no-member", name=node.name)
            members.promote(member)
        except NotYet:
            return messages.VoteAnswer(votes=False)
        finally:
            members.close()
        cluster_state.change(store, node.name, voter=True)
        return messages.VoteAnswer(votes=True)

    def _secrets(self) -> dict[str, str]:
        files = (self._folder / name for name in SECRETS)
        return {
            file.name: base64.b64encode(found).decode("ascii")
            for file in files
            if file.exists() and (found := file.read_bytes()) != _NONE
        }


def wanted(node: Node) -> tuple[Wanted, ...]:
    """The pairs of keys that a node has."""
    return upkeep.wanted(NodeFile(name=node.name, hostname=node.hostname, roles=node.roles, address=node.address), ())
