"""A member without its majority is made the only member.

`force-new-cluster` keeps the data of this member and forgets all others
(https://etcd.io/docs/v3.4/op-guide/recovery/). That it is right, only an operator can know: docs/operators/cluster.md.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.cluster import keys
from appliance.cluster.names import Seconds
from appliance.coordination.access import Keys
from appliance.coordination.connection import Connection
from appliance.coordination.rpc import grpc, rpc_pb2, rpc_pb2_grpc
from appliance.errors import PosthouseError

PROGRAM = "/usr/bin/etcd"
_LOOK = Seconds(3.0)
_POLL = Seconds(0.3)
_ENDS_WITHIN = Seconds(20.0)
_WRITE = Seconds(30.0)
_AT_ONCE = 512
#: After so many writes their history is forgotten: the database stays as small as it was.
_COMPACT_EVERY = 50_000
#: A member near its quota has so much more meanwhile, bytes: what was written is given back at the end.
_QUOTA, _MORE_ROOM = "ETCD_QUOTA_BACKEND_BYTES", 256 << 20
#: Forgetting an hour's history, and writing the whole database anew.
_MAKE_ROOM = Seconds(300.0)
#: Written to raise the revision, and deleted.
_NOTHING = f"{keys.PREFIX}revisions".encode()


def begin_anew(environment: Path, user: str, within: Seconds, then: Callable[[str], None]) -> None:
    """Run the member once with `force-new-cluster` until it leads itself, do `then`, and end it. It must not run
    elsewhere. Meanwhile it listens on its first URLs only, which are loopback's: no other node meets it.

    `environment`: the file of variables that it runs by. `then` gets its endpoint; where that fails, the data is
    already this member's alone, and all of it can be repeated. Raises PosthouseError with etcd's last words.
    """
    lines = (line.partition("=") for line in environment.read_text().splitlines() if line.startswith("ETCD_"))
    settings = {name: value for name, _, value in lines}
    for name in ("ETCD_LISTEN_CLIENT_URLS", "ETCD_LISTEN_PEER_URLS"):
        settings[name] = settings[name].split(",")[0]
    if int(settings.get(_QUOTA, 0)) > 0:
        settings[_QUOTA] = str(int(settings[_QUOTA]) + _MORE_ROOM)
    endpoint = settings["ETCD_LISTEN_CLIENT_URLS"]
    with _running({**settings, "ETCD_FORCE_NEW_CLUSTER": "true"}, user) as process:
        until = time.monotonic() + within
        while not _is_ready(process, endpoint):
            if process.poll() is not None or time.monotonic() >= until:
                process.kill()
                said = process.stderr.read()[-500:] if process.stderr else ""
                raise PosthouseError("cluster-recover-failed", detail=said.strip() or "no answer")
            time.sleep(_POLL)
        then(endpoint)


def advance(endpoint: str, revisions: int) -> int:
    """Raise the store's revision by so many (one at least), forget the history below and give its room back.

    Nothing else of etcd 3.4 can raise it: each write does so by one, whatever the number of keys in it. Watches from
    before are told to read everything again. An alarm of its quota is taken back: there is room again. Returns the
    revision then; raises StoreUnavailable, and then it may be higher than it was.
    """
    connection = Connection([endpoint], Keys.read())
    try:
        calls, upkeep = rpc_pb2_grpc.KVStub(connection.channel), rpc_pb2_grpc.MaintenanceStub(connection.channel)
        _disarm(upkeep)
        for begun in range(0, revisions, _COMPACT_EVERY):
            _put_often(calls, min(_COMPACT_EVERY, revisions - begun))
            last = calls.DeleteRange(rpc_pb2.DeleteRangeRequest(key=_NOTHING), timeout=_WRITE).header.revision
            calls.Compact(rpc_pb2.CompactionRequest(revision=last, physical=True), timeout=_MAKE_ROOM)
        upkeep.Defragment(rpc_pb2.DefragmentRequest(), timeout=_MAKE_ROOM)
        return int(last)
    except grpc.RpcError as error:
        raise connection.failure(error, _WRITE) from error
    finally:
        connection.close()


def _disarm(upkeep: Any) -> None:
    """Take back what members said of their quota: it stands in the store, and refuses every write, until somebody does
    (https://etcd.io/docs/v3.4/op-guide/maintenance/). Raises grpc.RpcError."""
    for alarm in upkeep.Alarm(rpc_pb2.AlarmRequest(action=rpc_pb2.AlarmRequest.GET), timeout=_WRITE).alarms:
        if alarm.alarm == rpc_pb2.NOSPACE:
            over = rpc_pb2.AlarmRequest(
                action=rpc_pb2.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm
            )
            upkeep.Alarm(over, timeout=_WRITE)


def _put_often(calls: Any, times: int) -> None:
    """Many writes at once, which share what goes to the disk. Raises grpc.RpcError for the first that failed."""
    free, failed = threading.Semaphore(_AT_ONCE), threading.Event()
    writes: deque[Any] = deque(maxlen=_AT_ONCE)

    def over(write: Any) -> None:
        if write.code() is not grpc.StatusCode.OK:
            failed.set()
        free.release()

    for _ in range(times):
        free.acquire()
        if failed.is_set():
            break
        write = calls.Put.future(rpc_pb2.PutRequest(key=_NOTHING), timeout=_WRITE)
        write.add_done_callback(over)
        writes.append(write)
    for write in writes:
        write.result()


@contextmanager
def _running(settings: Mapping[str, str], user: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [PROGRAM],
        env=dict(settings),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, errors="replace", user=user, group=user, extra_groups=[], umask=0o077,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _is_ready(process: subprocess.Popen[str], endpoint: str) -> bool:
    """Whether a linearizable read is answered: the member leads itself."""
    connection = Connection([endpoint], Keys.read())
    try:
        request = rpc_pb2.RangeRequest(key=b"\0", range_end=b"\0", limit=1, keys_only=True)
        rpc_pb2_grpc.KVStub(connection.channel).Range(request, timeout=_LOOK, wait_for_ready=True)
    except grpc.RpcError:
        return False
    finally:
        connection.close()
    return process.poll() is None
