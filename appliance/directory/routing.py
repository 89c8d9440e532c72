"""Where administration of the directory connects: in a cluster, to the one server that takes writes now.

The store says which one that is (`keys.DIRECTORY_WRITER`). Who finds it dead lets another provider take its place, by a
guarded transaction: without a majority of the store nobody becomes the writer. A write counts as done when one other
provider has it too; when none has it in time, that is told (the write is done and will arrive).
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import ldap3

from appliance import node_file, paths
from appliance.cluster import keys
from appliance.cluster.model import Node
from appliance.cluster.names import NodeName, Seconds
from appliance.coordination import connect
from appliance.coordination.store import Field, Guard, Put, Store, StoreUnavailable
from appliance.directory import replicas, schema
from appliance.directory.changes import marks
from appliance.directory.connection import ANSWER_DEADLINE, DirectoryConnection, DirectoryUnavailable
from appliance.errors import PosthouseError
from appliance.i18n import translate
from appliance.node_file import NodeFile

log = logging.getLogger("posthouse.directory")

_CSN: Final = "contextCSN"
#: Deadline of a look at a provider, whole seconds.
_LOOK: Final = 2
_ATTEMPTS: Final = 3
#: How long a write waits for another provider to have it, and between two looks.
_REPLICATED_WITHIN: Final = Seconds(3.0)
_AGAIN: Final = Seconds(0.03)


def connection() -> DirectoryConnection:
    """A connection for administration, opened when first used."""
    try:
        node = node_file.read()
    except PosthouseError:
        return DirectoryConnection()
    if node.address is None or not os.access(paths.PKI / "node.key", os.R_OK):
        return DirectoryConnection()  # a server alone; or somebody who may only do what the own directory allows
    return RoutedConnection(node)


class ReplicaConnection(DirectoryConnection):
    """To the slapd of one node: by its socket on the node itself, else by TLS with this node's certificate."""

    def __init__(self, me: NodeName, node: Node, *, deadline: int = ANSWER_DEADLINE) -> None:
        super().__init__(connect_deadline=min(deadline, _LOOK), answer_deadline=deadline)
        self._me = me
        self._node = node

    def _server(self) -> ldap3.Server:
        return super()._server() if self._node.name == self._me else remote(self._node)

    def marks(self) -> dict[str, str]:
        """The newest change of each server that this replica has; raises DirectoryUnavailable."""
        root = self.read(schema.SUFFIX, (_CSN,))
        found = marks(root.texts(_CSN)) if root else {}
        if not found:
            raise DirectoryUnavailable("directory-unavailable", detail=f"{self._node.name}: empty")
        return found


def remote(node: Node) -> ldap3.Server:
    """The slapd of another node, known by its certificate."""
    assert node.address is not None
    tls = ldap3.Tls(
        local_private_key_file=str(paths.PKI / "node.key"),
        local_certificate_file=str(paths.PKI / "node.crt"),
        ca_certs_file=str(paths.PKI / "ca.crt"),
        validate=ssl.CERT_REQUIRED,
        valid_names=[f"slapd.{node.name}"],
    )
    return ldap3.Server(
        str(node.address), port=replicas.PORT, use_ssl=True, tls=tls, get_info=ldap3.NONE, connect_timeout=_LOOK
    )


class RoutedConnection(DirectoryConnection):
    """Reads and writes at the writer; without it, or without the store, reads at this node's own replica."""

    def __init__(self, me: NodeFile) -> None:
        super().__init__()
        self._me = me.name
        self._writer: Node | None = None
        self._others: tuple[Node, ...] = ()
        self._wrote = False
        self._chosen = False

    def confirm(self) -> bool:
        """Wait until another provider has what was written here; tell when none has it in time."""
        if not self._wrote or self._writer is None or not self._others:
            return True
        self._wrote = False
        number = replicas.server_id(self._writer)
        try:
            with ReplicaConnection(self._me, self._writer, deadline=_LOOK) as writer:
                wanted = writer.marks().get(number, "")
        except PosthouseError as error:
            log.warning("%s", translate("directory-not-replicated", detail=str(error)))
            return False
        if not _arrived(self._me, self._others, number, wanted):
            names = ", ".join(node.name for node in self._others)
            log.warning("%s", translate("directory-not-replicated", detail=names))
            return False
        return True

    def _before_write(self) -> None:
        if self._open is None:
            self._choose()
        if self._writer is None:
            raise DirectoryUnavailable("directory-no-writer")
        self._wrote = True

    def _server(self) -> ldap3.Server:
        if not self._chosen:
            self._choose()
        self._chosen = False  # for one connection: the next one may find the writer dead
        if self._writer is None or self._writer.name == self._me:
            return super()._server()
        return remote(self._writer)

    def _choose(self) -> None:
        try:
            with connect() as store:
                self._writer, self._others = choose(store, self._me)
        except (StoreUnavailable, DirectoryUnavailable) as error:
            log.debug("no writer of the directory: %s", error)
            self._writer, self._others = None, ()
        self._chosen = True


def choose(store: Store, me: NodeName) -> tuple[Node, tuple[Node, ...]]:
    """The writer, made another one where it is dead, and the other providers.

    Raises DirectoryUnavailable when no provider answers, StoreUnavailable.
    """
    for _ in range(_ATTEMPTS):
        providers = replicas.providers(_nodes(store))
        record = store.get(keys.DIRECTORY_WRITER)
        named = next((node for node in providers if record and node.name == record.value), None)
        if named is not None and _newest(me, named) is not None:
            return named, tuple(node for node in providers if node is not named)
        successor = _successor(me, [node for node in providers if node is not named])
        guard = Guard(keys.DIRECTORY_WRITER, Field.MOD_REVISION, record.mod_revision if record else 0)
        if store.transact([guard], [Put(keys.DIRECTORY_WRITER, successor.name)]).succeeded:
            log.info("%s takes the directory's writes", successor.name)
    raise DirectoryUnavailable("directory-no-writer")


def _nodes(store: Store) -> dict[NodeName, Node]:
    found = (Node.model_validate_json(record.value) for record in store.list(keys.NODES)[0])
    return {node.name: node for node in found}


def _successor(me: NodeName, providers: Iterable[Node]) -> Node:
    """Of the providers that answer the one that has the newest change; of equals the first."""
    found = [(newest, -(node.number or 0), node) for node in providers if (newest := _newest(me, node)) is not None]
    if not found:
        raise DirectoryUnavailable("directory-no-writer")
    return max(found, key=lambda each: each[:2])[2]


def _newest(me: NodeName, node: Node) -> str | None:
    """The newest change that the node's replica has, None when it does not answer or is empty."""
    try:
        with ReplicaConnection(me, node, deadline=_LOOK) as replica:
            return max(replica.marks().values())
    except PosthouseError:
        return None


def _arrived(me: NodeName, others: tuple[Node, ...], number: str, wanted: str) -> bool:
    """Wait until one of the others has the writer's change; return whether one has."""
    until = time.monotonic() + _REPLICATED_WITHIN
    with _open(me, others) as looks:
        while looks and time.monotonic() < until:
            for look in tuple(looks):
                try:
                    if look.marks().get(number, "") >= wanted:
                        return True
                except PosthouseError:
                    looks.remove(look)
            time.sleep(_AGAIN)
    return False


@contextmanager
def _open(me: NodeName, nodes: Iterable[Node]) -> Iterator[list[ReplicaConnection]]:
    """A connection to each; the node's own first, which costs least."""
    ordered = sorted(nodes, key=lambda node: node.name != me)
    opened = [ReplicaConnection(me, node, deadline=_LOOK) for node in ordered]
    try:
        yield list(opened)
    finally:
        for each in opened:
            with suppress(PosthouseError):
                each.close()
