"""One gRPC channel to the store's members over mutual TLS, and what its failures mean.

gRPC itself moves on when a member refuses or drops the connection. A member that is
frozen, or cut off from the majority, answers nothing: then `suspect` puts the next one first. To the first of the list,
which is the node's own, it returns when that one answers again (home.py).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance import node_file
from appliance.cluster.names import Seconds
from appliance.coordination.access import SUSPICIOUS_AFTER, Keys
from appliance.coordination.addresses import host
from appliance.coordination.home import Home
from appliance.coordination.rpc import grpc
from appliance.coordination.store import StoreUnavailable
from appliance.errors import PosthouseError
from appliance.node_file import STORE_NAME, endpoint_address

__all__ = ["Connection", "EndpointFile", "Keys", "target"]

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.ssl_target_name_override", STORE_NAME),
    ("grpc.default_authority", STORE_NAME),
    # etcd answers too_many_pings to keepalives more often than every 5 s, or without a call.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # The second one is also how long a single attempt to connect may take.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", -1),
    # No retries and no connection shared behind our back: a deadline here is this channel's own.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


#: Calls that are under way on a channel that is left in peace have so long.
_LAST_ANSWERS = Seconds(5.0)

_KEYS = {
    grpc.StatusCode.UNAVAILABLE: "store-unreachable",
    grpc.StatusCode.CANCELLED: "store-unreachable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "store-no-answer",
}


def target(endpoints: Sequence[str]) -> str:
    """The gRPC target of a list of `https://HOST:PORT`; several are addresses of one family (node_file)."""
    pairs = [endpoint_address(endpoint) for endpoint in endpoints]
    first, port = pairs[0]
    if isinstance(first, str):
        return f"dns:///{first}:{port}"
    addresses = (f"{host(each)}:{number}" for each, number in pairs if not isinstance(each, str))
    return f"ipv{first.version}:" + ",".join(addresses)


class EndpointFile:
    """The node file, looked at again when it was replaced: members come and go while clients run.

    The first look always reads: who made the client may have read the file long before.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None

    def news(self) -> tuple[str, ...] | None:
        """The endpoints if the file is another one than at the last look that could read it, else None."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return None
        try:
            endpoints = node_file.read(self._file).store.endpoints
        except PosthouseError:
            return None
        self._seen = stamp
        return endpoints

    def _stamp(self) -> tuple[int, int] | None:
        try:
            about = self._file.stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_ino


class Connection:
    """Holds the channel in use. Safe to use from several threads."""

    def __init__(self, endpoints: Sequence[str], keys: Keys, follow: EndpointFile | None = None) -> None:
        self.endpoints = tuple(endpoints)
        self._follow = follow
        self._keys = keys
        self._first = 0
        self._closed = False
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._channel = self._open(self.endpoints)
        self._home = self._new_home()

    def _new_home(self) -> Home:
        return Home(lambda: self._open(self.endpoints[:1]), self._return)

    def _open(self, order: Sequence[str]) -> Any:
        credentials = grpc.ssl_channel_credentials(self._keys.authority, self._keys.key, self._keys.certificate)
        return grpc.secure_channel(target(order), credentials, options=_OPTIONS)

    @property
    def channel(self) -> Any:
        """The channel to the members that the followed file names now; raises StoreUnavailable after `close`."""
        news = self._follow.news() if self._follow else None
        with self._lock:
            if self._closed:
                raise StoreUnavailable("store-closed")
            if news is None or news == self.endpoints:
                return self._channel
            self.endpoints, self._first = news, 0
            old, self._channel = self._channel, self._open(news)
            self._home = self._new_home()
        old.close()  # calls and watches under way end with an error, and come again on the new one
        return self._channel

    def suspect(self, channel: Any, waited: float) -> None:
        """A call on `channel` got no answer for `waited` seconds: try another member first.

        Calls and watches still waiting on the old channel end with an error.
        """
        if len(self.endpoints) == 1 or waited < SUSPICIOUS_AFTER:
            return
        with self._lock:
            if self._closed or channel is not self._channel:
                return
            if self._first == 0:
                self._home.left()
            self._first = (self._first + 1) % len(self.endpoints)
            self._channel = self._open(self.endpoints[self._first :] + self.endpoints[: self._first])
        channel.close()

    def answered(self, member: int) -> None:
        """A call was answered by the member of that id."""
        if len(self.endpoints) > 1:
            self._home.answered(member)

    def _return(self) -> None:
        """The first member is back. Calls under way end where they are; watches then break, and come again there."""
        with self._lock:
            if self._closed:
                return
            self._first = 0
            old, self._channel = self._channel, self._open(self.endpoints)
        self._ending.wait(_LAST_ANSWERS)
        old.close()

    def close(self) -> None:
        """End every call; the connection cannot be used again."""
        with self._lock:
            self._closed = True
        self._ending.set()
        self._channel.close()

    def failure(self, error: Exception, seconds: float) -> StoreUnavailable:
        """Say what a failed call means. `seconds` is the deadline that it had."""
        if isinstance(error, StoreUnavailable):
            return error
        facts = {"endpoints": ", ".join(self.endpoints), "seconds": round(seconds, 2)}
        if not isinstance(error, grpc.RpcError):  # ValueError: gRPC's word for a closed channel
            return StoreUnavailable("store-closed")
        code, detail = error.code(), error.details() or str(error.code())
        if code is grpc.StatusCode.CANCELLED and self._closed:
            return StoreUnavailable("store-closed")
        key = _KEYS.get(code, "store-refused")
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "space" in detail:
            key = "store-full"
        elif code in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL} and not detail.startswith("etcdserver"):
            key = "store-unreachable"  # gRPC's own word for a connection that broke under a call
        return StoreUnavailable(key, detail=detail, **facts)
