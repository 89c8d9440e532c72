"""etcd's members: who is one, adding as a learner, promoting, removing (https://etcd.io/docs/v3.4/learning/design-learner/).

A learner gets the data and counts in no majority, so a server that joins and dies at once costs nothing. The generated
messages are of etcd 3.3: what 3.4 added is written here by its field numbers (rpc.proto of release-3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.cluster.names import Seconds
from appliance.coordination.connection import Connection, Keys
from appliance.coordination.rpc import grpc, rpc_pb2, rpc_pb2_grpc
from appliance.coordination.store import StoreUnavailable

#: MemberAddRequest.isLearner = 2, a varint: true.
_IS_LEARNER = b"\x10\x01"
_STATUS = Seconds(2.0)
_PROMOTE = "/etcdserverpb.Cluster/MemberPromote"


@dataclass(frozen=True)
class Member:
    """A member; `name` is empty until it has started for the first time."""

    id: int
    name: str
    peer_urls: tuple[str, ...]


class NotYet(StoreUnavailable):
    """etcd cannot do it at this moment (a learner is not in sync; another one is being added): try again."""


class EtcdMembers:
    """Needs a control node's keys. Raises StoreUnavailable, NotYet."""

    def __init__(self, endpoints: Sequence[str], client: Keys, *, deadline: Seconds = Seconds(5.0)) -> None:
        self._connection = Connection(endpoints, client)
        self._client = client
        self._deadline = deadline

    def list(self) -> tuple[Member, ...]:
        """Every member, learners too."""
        answer = self._call(rpc_pb2_grpc.ClusterStub(self._connection.channel).MemberList, rpc_pb2.MemberListRequest())
        return tuple(Member(each.ID, each.name, tuple(each.peerURLs)) for each in answer.members)

    def find(self, peer_url: str) -> Member | None:
        """The member with this peer URL."""
        return next((member for member in self.list() if peer_url in member.peer_urls), None)

    def add_learner(self, peer_url: str) -> Member:
        """Add a member that does not vote yet; it may be one already."""
        found = self.find(peer_url)
        if found is not None:
            return found
        request = rpc_pb2.MemberAddRequest(peerURLs=[peer_url])
        request.MergeFromString(_IS_LEARNER)
        added = self._call(rpc_pb2_grpc.ClusterStub(self._connection.channel).MemberAdd, request).member
        return Member(added.ID, added.name, tuple(added.peerURLs))

    def promote(self, member: Member) -> None:
        """Let a learner vote; one that does so already stays as it is. Raises NotYet until it is in sync.

        Asked of the leader itself: another member hands the request on without saying who asks, and is refused.
        """
        leader = self._leader()
        try:
            # MemberPromoteRequest has the one field of MemberRemoveRequest: ID = 1.
            method = leader.channel.unary_unary(
                _PROMOTE,
                request_serializer=rpc_pb2.MemberRemoveRequest.SerializeToString,
                response_deserializer=rpc_pb2.MemberListResponse.FromString,
            )
            self._call(method, rpc_pb2.MemberRemoveRequest(ID=member.id), unless="only promote a learner member")
        finally:
            leader.close()

    def update(self, member: Member, peer_url: str) -> None:
        """Tell the others another peer URL of a member."""
        request = rpc_pb2.MemberUpdateRequest(ID=member.id, peerURLs=[peer_url])
        self._call(rpc_pb2_grpc.ClusterStub(self._connection.channel).MemberUpdate, request)

    def remove(self, member: Member) -> None:
        """Take a member out; it ends by itself and cannot come back with its data."""
        request = rpc_pb2.MemberRemoveRequest(ID=member.id)
        self._call(rpc_pb2_grpc.ClusterStub(self._connection.channel).MemberRemove, request, unless="not found")

    def close(self) -> None:
        self._connection.close()

    def _leader(self) -> Connection:
        """A connection to the leader alone; raises NotYet while nobody leads."""
        for endpoint in self._connection.endpoints:
            asked = Connection([endpoint], self._client)
            try:
                status = self._call(
                    rpc_pb2_grpc.MaintenanceStub(asked.channel).Status, rpc_pb2.StatusRequest(), deadline=_STATUS
                )
            except StoreUnavailable:
                asked.close()
                continue
            if status.leader == status.header.member_id:
                return asked
            asked.close()
        raise NotYet("store-member-not-yet", detail="no leader")

    def _call(self, method: Any, request: Any, unless: str | None = None, deadline: Seconds | None = None) -> Any:
        try:
            return method(request, timeout=deadline or self._deadline, wait_for_ready=True)
        except grpc.RpcError as error:
            detail = error.details() or ""
            if "in sync with leader" in detail or "too many learner" in detail or "unhealthy cluster" in detail:
                raise NotYet("store-member-not-yet", detail=detail) from error
            if unless and unless in detail:
                return None
            raise self._connection.failure(error, self._deadline) from error
