"""The coordination store on etcd 3.4 (https://etcd.io/docs/v3.4/learning/api/).

Every call has a deadline and waits for a connection within it; nothing is repeated
behind the caller's back, because a write that got no answer may have happened.
Reads are linearizable: etcd confirms with a quorum before it answers.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from appliance.cluster.names import Seconds
from appliance.coordination.connection import Connection, EndpointFile, Keys
from appliance.coordination.etcd_watch import EtcdWatch, prefix_end, record_of
from appliance.coordination.rpc import grpc, rpc_pb2, rpc_pb2_grpc
from appliance.coordination.store import Delete, Field, Guard, Outcome, Put, Record, Store, StoreUnavailable, Watch

DEFAULT_DEADLINE = Seconds(3.0)

#: Records fetched by one Range request of a listing.
PAGE = 1000

_TARGETS = {
    Field.CREATE_REVISION: rpc_pb2.Compare.CREATE,
    Field.MOD_REVISION: rpc_pb2.Compare.MOD,
    Field.VALUE: rpc_pb2.Compare.VALUE,
}


Records = list[Record]  # inside the class, `list` is a method


class EtcdStore(Store):
    """A store client for one process; safe to use from several threads."""

    def __init__(
        self,
        endpoints: Sequence[str],
        keys: Keys,
        *,
        deadline: Seconds = DEFAULT_DEADLINE,
        follow: EndpointFile | None = None,
    ) -> None:
        self._connection = Connection(endpoints, keys, follow)
        self._deadline = deadline
        self._watches: weakref.WeakSet[EtcdWatch] = weakref.WeakSet()
        self._lock = threading.Lock()

    def get(self, key: str, *, deadline: Seconds | None = None) -> Record | None:
        response = self._range(rpc_pb2.RangeRequest(key=key.encode()), self._ends(deadline))
        return record_of(response.kvs[0]) if response.kvs else None

    def list(self, prefix: str, *, deadline: Seconds | None = None) -> tuple[list[Record], int]:
        ends = self._ends(deadline)
        response = self._range(_below(prefix), ends)
        revision = int(response.header.revision)
        return self._complete(prefix, response, revision, ends), revision

    def snapshot(self, prefixes: Sequence[str], *, deadline: Seconds | None = None) -> Sequence[Sequence[Record]]:
        ends = self._ends(deadline)
        asked = [rpc_pb2.RequestOp(request_range=_below(prefix)) for prefix in prefixes]
        request = rpc_pb2.TxnRequest(success=asked)
        response = self._call(lambda channel: rpc_pb2_grpc.KVStub(channel).Txn, request, ends)
        revision = response.header.revision
        return [
            self._complete(prefix, each.response_range, revision, ends)
            for prefix, each in zip(prefixes, response.responses, strict=True)
        ]

    def _complete(self, prefix: str, response: Any, revision: int, ends: float) -> Records:
        """The records of a range's first page, and of those that follow at the same revision."""
        records = [record_of(each) for each in response.kvs]
        while response.more:
            response = self._range(_below(prefix, response.kvs[-1].key + b"\0", revision), ends)
            records += map(record_of, response.kvs)
        return records

    def transact(
        self, guards: Sequence[Guard], changes: Sequence[Put | Delete], *, deadline: Seconds | None = None
    ) -> Outcome:
        request = rpc_pb2.TxnRequest(compare=map(_compare, guards), success=map(_operation, changes))
        response = self._call(lambda channel: rpc_pb2_grpc.KVStub(channel).Txn, request, self._ends(deadline))
        return Outcome(response.succeeded, response.header.revision)

    def watch(self, prefix: str, *, after: int, idle: Seconds = Seconds(1.0)) -> Watch:
        watch = EtcdWatch(self._connection, prefix, after, idle, self._revision)
        with self._lock:
            self._watches.add(watch)
        return watch

    def close(self) -> None:
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.close()
        self._connection.close()

    def _revision(self, prefix: str) -> int:
        """The store's revision now, confirmed by a quorum; asked of keys that this client may read."""
        request = rpc_pb2.RangeRequest(key=prefix.encode() or b"\0", range_end=prefix_end(prefix), limit=1)
        return int(self._range(request, self._ends(None)).header.revision)

    def _ends(self, deadline: Seconds | None) -> float:
        return time.monotonic() + (self._deadline if deadline is None else deadline)

    def _range(self, request: Any, ends: float) -> Any:
        """Read; once more when the connection broke under the call, as it does when a member ends and comes again."""
        try:
            return self._call(_range_of, request, ends)
        except StoreUnavailable as error:
            if error.key != "store-unreachable" or time.monotonic() >= ends:
                raise
        return self._call(_range_of, request, ends)

    def _call(self, method: Callable[[Any], Any], request: Any, ends: float) -> Any:
        """Send one request; raise StoreUnavailable unless the answer is there at `ends` (monotonic)."""
        channel = self._connection.channel
        started = time.monotonic()
        try:
            response = method(channel)(request, timeout=max(ends - started, 0.0), wait_for_ready=True)
        except (grpc.RpcError, ValueError) as error:
            waited = time.monotonic() - started
            if isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._connection.suspect(channel, waited)
            raise self._connection.failure(error, ends - started) from error
        self._connection.answered(response.header.member_id)
        return response


def _range_of(channel: Any) -> Any:
    return rpc_pb2_grpc.KVStub(channel).Range


def _compare(guard: Guard) -> Any:
    field = guard.field.value
    expected = guard.expected.encode() if isinstance(guard.expected, str) else guard.expected
    return rpc_pb2.Compare(
        key=guard.key.encode(), target=_TARGETS[guard.field], result=rpc_pb2.Compare.EQUAL, **{field: expected}
    )


def _operation(change: Put | Delete) -> Any:
    if isinstance(change, Put):
        return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=change.key.encode(), value=change.value.encode()))
    return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=change.key.encode()))


def _below(prefix: str, start: bytes = b"", revision: int = 0) -> Any:
    """The request for one page of what stands below `prefix`, from `start` on; `revision` 0: the newest."""
    key = start or prefix.encode() or b"\0"
    return rpc_pb2.RangeRequest(key=key, range_end=prefix_end(prefix), limit=PAGE, revision=revision)
