"""A watch on etcd: one stream, subscribed again when it ends (following.py).

Silent peers are found by gRPC keepalives (connection.py), a member without a leader
by etcd's `hasleader` (it ends the stream).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from appliance.cluster.names import Seconds
from appliance.coordination.connection import Connection
from appliance.coordination.following import FollowingWatch
from appliance.coordination.rpc import grpc, kv_pb2, rpc_pb2, rpc_pb2_grpc
from appliance.coordination.store import Compacted, Event, Record, StoreUnavailable


def prefix_end(prefix: str) -> bytes:
    """The end of the key range that `prefix` opens; etcd writes "every key from here on" as one zero byte."""
    head = prefix.encode().rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else b"\0"


def record_of(entry: Any) -> Record:
    """A record from etcd's KeyValue. Bytes that are no UTF-8 are not ours; they show as U+FFFD."""
    return Record(
        key=entry.key.decode("utf-8", "replace"),
        value=entry.value.decode("utf-8", "replace"),
        create_revision=entry.create_revision,
        mod_revision=entry.mod_revision,
    )


def event_of(change: Any) -> Event:
    """An event from etcd's Event."""
    deleted = change.type == kv_pb2.Event.DELETE
    record = record_of(change.kv)
    return Event(record.key, None if deleted else record, change.kv.mod_revision)


class EtcdWatch(FollowingWatch):
    """See Watch. `store_revision` asks below a prefix for the store's revision, confirmed by a quorum."""

    def __init__(
        self, connection: Connection, prefix: str, after: int, idle: Seconds, store_revision: Callable[[str], int]
    ) -> None:
        self._connection = connection
        self._store_revision = store_revision
        self._lock = threading.Lock()
        self._call: Any = None
        super().__init__(prefix, after, idle)

    def _interrupt(self) -> None:
        with self._lock:
            if self._call is not None:
                self._call.cancel()

    def _subscribe(self) -> Iterator[list[Event]]:
        """Yield the batches of one stream."""
        over = threading.Event()
        request = rpc_pb2.WatchCreateRequest(
            key=self._prefix.encode() or b"\0", range_end=prefix_end(self._prefix), start_revision=self._after + 1
        )

        def requests() -> Iterator[Any]:
            yield rpc_pb2.WatchRequest(create_request=request)
            over.wait()  # ending here would end the stream

        try:
            with self._lock:
                if self._closed.is_set():
                    return
                stub = rpc_pb2_grpc.WatchStub(self._connection.channel)
                self._call = stub.Watch(requests(), metadata=(("hasleader", "true"),), wait_for_ready=True)
            yield from self._batches_of(self._call)
        except (grpc.RpcError, ValueError) as error:
            raise self._connection.failure(error, 0.0) from error
        finally:
            over.set()
            if self._call is not None:
                self._call.cancel()

    def _batches_of(self, stream: Any) -> Iterator[list[Event]]:
        for response in stream:
            if response.canceled:
                self._refused(response)
                return
            if response.created:
                self._compare_history(response.header.revision)
            if response.events:
                yield [event_of(change) for change in response.events]

    def _refused(self, response: Any) -> None:
        if response.compact_revision:
            raise Compacted("store-compacted", revision=self._after + 1)
        raise StoreUnavailable(
            "store-refused", endpoints=", ".join(self._connection.endpoints), detail=response.cancel_reason
        )

    def _compare_history(self, member_revision: int) -> None:
        """A store that was restored from a backup has an older revision; its events would never reach us.

        A member that merely lags has one too, so a quorum is asked before that is believed.
        """
        if member_revision < self._after and self._store_revision(self._prefix) < self._after:
            raise Compacted("store-compacted", revision=self._after + 1)
