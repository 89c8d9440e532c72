"""The steps of `posthouse cluster join`: how a fresh server becomes a node of a cluster.

Each step looks first and can be repeated; node.yaml is written when everything that it needs is there. Until the
server has its place, its keys wait in `pki/joining`, so that a second run asks for the same ones.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import ssl
import time
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pydantic import BaseModel, ValidationError

from appliance import durable_files, node_file, paths
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName, Seconds
from appliance.errors import PosthouseError, Unavailable
from appliance.installation import accounts, steps
from appliance.installation import join_messages as messages
from appliance.installation.join_messages import Address, JoinAnswer, JoinRequest, Refusal, Refused, Ticket
from appliance.node_file import NodeFile, StoreAccess
from appliance.pki import requests, revocation, upkeep
from appliance.pki.authority import Pair
from appliance.pki.names import CONTROL_NAME

_CONNECT = Seconds(10.0)
_ANSWER = Seconds(90.0)
_AGAIN = Seconds(1.0)
#: How long another server's joining is waited for, and the own member's first copy of the store.
_PATIENCE = Seconds(120.0)

_Answer = TypeVar("_Answer", bound=BaseModel)


class JoinImpossible(Unavailable):
    """No control node answered as it should."""


def joining_folder() -> Path:
    """Where keys wait until the server has its place."""
    return paths.PKI / "joining"


def ask(addresses: Iterable[Address], request: BaseModel, kind: type[_Answer], context: ssl.SSLContext) -> _Answer:
    """Ask the first control node that answers; raise Refused with its reason, JoinImpossible when none answers."""
    problems = []
    for address in addresses:
        try:
            line = asyncio.run(_exchange(address, request, context))
        except (OSError, TimeoutError, ValueError) as error:
            problems.append(f"{address}: {error or type(error).__name__}")
            continue
        try:
            said = json.loads(line)
            if isinstance(said, dict) and "refused" in said:
                raise Refused(Refusal.model_validate(said))
            return kind.model_validate(said)
        except (ValueError, ValidationError, RecursionError) as error:
            problems.append(f"{address}: {type(error).__name__}")
    raise JoinImpossible("join-nobody-answers", detail="; ".join(problems))


async def _exchange(address: Address, request: BaseModel, context: ssl.SSLContext) -> bytes:
    async with asyncio.timeout(_CONNECT):
        reader, writer = await asyncio.open_connection(
            str(address), messages.PORT, ssl=context, server_hostname=CONTROL_NAME, limit=messages.LONGEST_ANSWER
        )
    try:
        if isinstance(request, JoinRequest):  # the connection took its time: the clock is compared as of now
            request = request.model_copy(update={"now": time.time()})
        writer.write(request.model_dump_json().encode() + b"\n")
        async with asyncio.timeout(_ANSWER):
            await writer.drain()
            return await reader.readline()
    finally:
        writer.transport.abort()


def authority_of(ticket: Ticket) -> bytes:
    """The cluster's authority (PEM): whoever gives it, the ticket's fingerprint proves it.

    Raises PosthouseError when it is another one, JoinImpossible.
    """
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    said = ask(ticket.addresses, messages.AuthorityRequest(), messages.AuthorityAnswer, blind)
    try:
        found = x509.load_pem_x509_certificate(said.authority.encode("ascii"))
    except ValueError as error:
        raise PosthouseError("join-wrong-authority") from error
    if sha256(found.public_bytes(serialization.Encoding.DER)).hexdigest() != ticket.authority:
        raise PosthouseError("join-wrong-authority")
    return found.public_bytes(serialization.Encoding.PEM)


def trust(authority: bytes) -> ssl.SSLContext:
    """Trust control nodes of this authority, and nobody else."""
    context = ssl.create_default_context(cadata=authority.decode("ascii"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def own_trust() -> ssl.SSLContext:
    """The same, showing this node's certificate."""
    context = trust((paths.PKI / "ca.crt").read_bytes())
    context.load_cert_chain(paths.PKI / "node.crt", paths.PKI / "node.key")
    return context


def join(ticket: Ticket, name: NodeName, hostname: str, address: Address) -> NodeFile:
    """Ask for a place and put down everything that came with it, node.yaml last. Raises Refused with the reason."""
    authority = authority_of(ticket)
    private = {slot.name: requests.kept_key(joining_folder() / f"{slot.name}.key") for slot in upkeep.slots()}
    users, groups = accounts.numbers()
    request = JoinRequest(
        token=ticket.token,
        name=name,
        hostname=hostname,
        address=address,
        machine_id=Path("/etc/machine-id").read_text().strip(),
        release=version("posthouse"),
        now=time.time(),
        users=users,
        groups=groups,
        requests={slot: requests.request(key) for slot, key in private.items()},
    )
    answer = _patiently(ticket, request, trust(authority))
    _put_down(authority, private, answer)
    store = StoreAccess(endpoints=answer.endpoints)
    identity = NodeFile(name=name, hostname=hostname, roles=answer.roles, address=address, store=store)
    steps.write_identity(identity)
    return identity


def _patiently(ticket: Ticket, request: JoinRequest, context: ssl.SSLContext) -> JoinAnswer:
    """Ask again while the cluster says that it may help: one server is added after the other."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return ask(ticket.addresses, request, JoinAnswer, context)
        except Refused as refusal:
            if not refusal.later or time.monotonic() >= until:
                raise
            time.sleep(_AGAIN)


def _put_down(authority: bytes, private: dict[str, bytes], answer: JoinAnswer) -> None:
    durable_files.replace(paths.PKI / "ca.crt", authority, 0o644)
    if answer.revoked is not None:
        try:
            revocation.keep(answer.revoked)
        except ValueError as error:
            raise PosthouseError("join-malformed") from error
    for slot in upkeep.slots():
        certificate = answer.certificates.get(slot.name)
        if certificate is not None:
            slot.write(Pair(certificate.encode("ascii"), private[slot.name]))
    for file, content in answer.secrets.items():
        if file not in {"ca.key", "sealing.key"}:
            raise PosthouseError("join-malformed")
        durable_files.replace(paths.PKI / file, base64.b64decode(content), 0o600)


def has_joined() -> bool:
    """Whether this server got its place in an earlier run that may not have ended."""
    return steps.already_initialised() and node_file.read().address is not None


def vote(identity: NodeFile) -> bool:
    """Have this node's store member vote, once it has the data; return whether that was so before. Idempotent."""
    if not identity.roles & upkeep.STORE_ROLES:
        return False
    addresses = control_addresses()
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            if ask(addresses, messages.VoteRequest(), messages.VoteAnswer, own_trust()).votes:
                return True
        except Refused as refusal:
            if not refusal.later:
                raise
        if time.monotonic() >= until:
            raise JoinImpossible("join-member-not-in-sync")
        time.sleep(_AGAIN)


def control_addresses() -> list[Address]:
    """Where the store's members stand: of them, control nodes answer."""
    found = (node_file.endpoint_address(endpoint)[0] for endpoint in node_file.read().store.endpoints)
    return [host for host in found if not isinstance(host, str) and not host.is_loopback]


def forget_keys() -> bool:
    """The place is taken: the waiting keys are not needed any more."""
    existed = joining_folder().exists()
    shutil.rmtree(joining_folder(), ignore_errors=True)
    return existed


def is_control(identity: NodeFile) -> bool:
    return Role.CONTROL in identity.roles
