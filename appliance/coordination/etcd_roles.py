"""What each node may read and write in etcd, by the name in its certificate.

With authentication enabled, etcd takes the common name of the client's certificate as the user
(https://etcd.io/docs/v3.4/op-guide/authentication/). Each node is a user with a role of its own. A user has to have a
password as well: it gets a random one that nobody keeps.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.cluster import keys
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName, Seconds
from appliance.coordination.connection import Connection, Keys
from appliance.coordination.etcd_watch import prefix_end
from appliance.coordination.rpc import auth_pb2, grpc, rpc_pb2, rpc_pb2_grpc

#: etcd's own user and role for everything, users included.
ROOT = "root"
#: A node of one of these may own groups: it ends the session of a former owner and writes itself down.
OWNING = frozenset({Role.STORE, Role.DIRECTORY, Role.DATABASE})


@dataclass(frozen=True)
class Permission:
    """A key (`end` empty) or the keys from `key` up to `end`, to read or also to write."""

    key: bytes
    end: bytes
    write: bool

    @classmethod
    def of_key(cls, key: str, *, write: bool) -> Permission:
        return cls(key.encode(), b"", write)

    @classmethod
    def below(cls, prefix: str, *, write: bool) -> Permission:
        return cls(prefix.encode(), prefix_end(prefix), write)


def permissions(node: NodeName, roles: frozenset[Role]) -> frozenset[Permission]:
    """What a node of these roles needs. Join tokens and the desired state are the control nodes' to write.

    What cannot be kept apart by key is told in docs/developers/store.md.
    """
    if Role.CONTROL in roles:
        return frozenset({Permission.below(keys.PREFIX, write=True)})
    owning = bool(roles & OWNING)
    needed = {
        Permission.below(keys.DESIRED, write=False),
        Permission.below(keys.STATUS, write=False),
        Permission.of_key(keys.status(node), write=True),
        Permission.below(keys.PLACEMENTS, write=False),
        Permission.of_key(keys.observation(node), write=True),
        Permission.below(keys.SESSIONS, write=False),
        Permission.of_key(keys.session(node), write=True),
        Permission.below(keys.OWNERS, write=owning),
        Permission.below(keys.EVENTS, write=True),
    }
    if owning:  # the owner of a group begins and ends its scheduled work
        needed.add(Permission.below(keys.RUNS, write=True))
    return frozenset(needed)


class EtcdRoles:
    """Keeps etcd's users. Everything can be repeated; raises StoreUnavailable, also when this client may not."""

    def __init__(self, endpoints: Sequence[str], client: Keys, *, deadline: Seconds = Seconds(3.0)) -> None:
        self._connection = Connection(endpoints, client)
        self._deadline = deadline

    def admit(self, node: NodeName, roles: frozenset[Role]) -> None:
        """Give the node what its roles need and take away what it had beyond that. A control node keeps the users."""
        role = _role(node)
        self._call("RoleAdd", rpc_pb2.AuthRoleAddRequest(name=role), "role name already exists")
        self._fit(role, permissions(node, roles), self._granted(role) or frozenset())
        self._add_user(node)
        self._grant(node, role)
        if Role.CONTROL in roles:
            self._grant(node, ROOT)
        else:
            revoked = rpc_pb2.AuthUserRevokeRoleRequest(name=node, role=ROOT)
            self._call("UserRevokeRole", revoked, "role is not granted to the user")

    def renew(self, node: NodeName, roles: frozenset[Role]) -> bool:
        """Give the node what its roles need in this release; return whether that was other than before.

        Whom nobody has admitted, or somebody has expelled, stays out.
        """
        had, wanted = self._granted(_role(node)), permissions(node, roles)
        if had is None or had == wanted:
            return False
        self._fit(_role(node), wanted, had)
        return True

    def _fit(self, role: str, wanted: frozenset[Permission], had: frozenset[Permission]) -> None:
        for each in wanted - had:
            self._call("RoleGrantPermission", rpc_pb2.AuthRoleGrantPermissionRequest(name=role, perm=_message(each)))
        # A permission for the same keys was replaced by granting it anew, not added.
        ranges = {(each.key, each.end) for each in wanted}
        for each in had:
            if (each.key, each.end) not in ranges:
                gone = rpc_pb2.AuthRoleRevokePermissionRequest(role=role, key=each.key, range_end=each.end)
                self._call("RoleRevokePermission", gone, "permission is not granted")

    def expel(self, node: NodeName) -> None:
        """The node may nothing any more, whatever certificate it holds."""
        self._call("UserDelete", rpc_pb2.AuthUserDeleteRequest(name=node), "user name not found")
        self._call("RoleDelete", rpc_pb2.AuthRoleDeleteRequest(role=_role(node)), "role name not found")

    def knows(self, node: NodeName) -> bool:
        """Whether the node is a user."""
        return self._call("UserGet", rpc_pb2.AuthUserGetRequest(name=node), "user name not found") is not None

    def enable(self) -> None:
        """From now on only admitted nodes may anything. Admit the node that calls it first, as a control node."""
        self._call("RoleAdd", rpc_pb2.AuthRoleAddRequest(name=ROOT), "role name already exists")
        self._add_user(ROOT)
        self._grant(ROOT, ROOT)
        self._call("AuthEnable", rpc_pb2.AuthEnableRequest())

    def close(self) -> None:
        self._connection.close()

    def _granted(self, role: str) -> frozenset[Permission] | None:
        """What the role may; None: there is no such role."""
        response = self._call("RoleGet", rpc_pb2.AuthRoleGetRequest(role=role), "role name not found")
        if response is None:
            return None
        return frozenset(
            Permission(each.key, each.range_end, each.permType == auth_pb2.Permission.READWRITE)
            for each in response.perm
        )

    def _add_user(self, name: str) -> None:
        user = rpc_pb2.AuthUserAddRequest(name=name, password=secrets.token_urlsafe(32))
        self._call("UserAdd", user, "user name already exists")

    def _grant(self, user: str, role: str) -> None:
        self._call("UserGrantRole", rpc_pb2.AuthUserGrantRoleRequest(user=user, role=role))

    def _call(self, name: str, request: Any, unless: str | None = None) -> Any:
        """Send one request; a refusal in the words of `unless` says that it was so already."""
        try:
            method: Callable[..., Any] = getattr(rpc_pb2_grpc.AuthStub(self._connection.channel), name)
            return method(request, timeout=self._deadline, wait_for_ready=True)
        except grpc.RpcError as error:
            if unless and unless in (error.details() or ""):
                return None
            raise self._connection.failure(error, self._deadline) from error


def _role(node: NodeName) -> str:
    return f"node-{node}"


def _message(permission: Permission) -> Any:
    kind = auth_pb2.Permission.READWRITE if permission.write else auth_pb2.Permission.READ
    return auth_pb2.Permission(permType=kind, key=permission.key, range_end=permission.end)
