"""A watch on etcd that outlives its connection.

A thread reads the stream and hands batches to the caller through a bounded queue.
When the stream ends it subscribes again from the last revision it handed over + 1,
after a jittered, growing pause; nothing is skipped and nothing comes twice.
Silent peers are found by gRPC keepalives (connection.py), a member without a leader
by etcd's `hasleader` (it ends the stream).
"""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

from appliance.cluster.names import Seconds
from appliance.coordination.connection import Connection
from appliance.coordination.rpc import grpc, kv_pb2, rpc_pb2, rpc_pb2_grpc
from appliance.coordination.store import Compacted, Event, Record, StoreUnavailable, Watch

log = logging.getLogger(__name__)

#: Batches that wait for a slow reader before the stream is held back.
BACKLOG = 256
SHORTEST_PAUSE = Seconds(0.1)
LONGEST_PAUSE = Seconds(2.0)


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


class EtcdWatch(Watch):
    """See Watch. `store_revision` asks for the store's revision, confirmed by a quorum."""

    def __init__(
        self, connection: Connection, prefix: str, after: int, idle: Seconds, store_revision: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        self._after = after
        self._idle = idle
        self._store_revision = store_revision
        self._batches: queue.Queue[list[Event] | Compacted | None] = queue.Queue(BACKLOG)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._call: Any = None
        self._thread = threading.Thread(target=self._follow, name=f"watch {prefix}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[list[Event]]:
        while not self._closed.is_set():
            try:
                batch = self._batches.get(timeout=self._idle)
            except queue.Empty:
                batch = []
            if batch is None or self._closed.is_set():
                return
            if isinstance(batch, Compacted):
                raise batch
            yield batch

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            if self._call is not None:
                self._call.cancel()
        with contextlib.suppress(queue.Full):  # then the reader has something to wake it
            self._batches.put_nowait(None)
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _follow(self) -> None:
        """The thread: subscribe, hand over, and subscribe again when the stream ends."""
        pause = SHORTEST_PAUSE
        while not self._closed.is_set():
            try:
                for batch in self._subscribe():
                    pause = SHORTEST_PAUSE
                    self._hand_over(batch)
                    self._after = batch[-1].revision
            except Compacted as gone:
                self._hand_over(gone)
                return
            except (grpc.RpcError, StoreUnavailable, ValueError) as error:
                if not self._closed.is_set():
                    why = error.details() if isinstance(error, grpc.RpcError) else error
                    again = self._after + 1
                    log.warning("watch of %s broke (%s); subscribing again from revision %d", self._prefix, why, again)
            self._closed.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards no secret
            pause = Seconds(min(pause * 2, LONGEST_PAUSE))

    def _subscribe(self) -> Iterator[list[Event]]:
        """Yield the batches of one stream; ends by an error of gRPC, or Compacted."""
        over = threading.Event()
        request = rpc_pb2.WatchCreateRequest(
            key=self._prefix.encode() or b"\0", range_end=prefix_end(self._prefix), start_revision=self._after + 1
        )

        def requests() -> Iterator[Any]:
            yield rpc_pb2.WatchRequest(create_request=request)
            over.wait()  # ending here would end the stream

        with self._lock:
            if self._closed.is_set():
                return
            stub = rpc_pb2_grpc.WatchStub(self._connection.channel)
            self._call = stub.Watch(requests(), metadata=(("hasleader", "true"),), wait_for_ready=True)
        try:
            for response in self._call:
                if response.canceled:
                    self._refused(response)
                    return
                if response.created:
                    self._compare_history(response.header.revision)
                if response.events:
                    yield [event_of(change) for change in response.events]
        finally:
            over.set()
            self._call.cancel()

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
        if member_revision < self._after and self._store_revision() < self._after:
            raise Compacted("store-compacted", revision=self._after + 1)

    def _hand_over(self, batch: list[Event] | Compacted) -> None:
        """Give a batch to the reader; while the queue is full, the stream waits."""
        while not self._closed.is_set():
            try:
                return self._batches.put(batch, timeout=0.2)
            except queue.Full:
                continue
        return None
