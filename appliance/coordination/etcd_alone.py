"""A member without its majority is made the only member.

`force-new-cluster` keeps the data of this member and forgets all others
(https://etcd.io/docs/v3.4/op-guide/recovery/). That it is right, only an operator can know: docs/operators/cluster.md.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from appliance.cluster.names import Seconds
from appliance.coordination.access import Keys
from appliance.coordination.connection import Connection
from appliance.coordination.rpc import grpc, rpc_pb2, rpc_pb2_grpc
from appliance.errors import PosthouseError

_LOOK = Seconds(3.0)
_POLL = Seconds(0.3)
_ENDS_WITHIN = Seconds(20.0)


def begin_anew(environment: Path, user: str, within: Seconds) -> None:
    """Run the member once with `force-new-cluster` until it leads itself, then end it. It must not run elsewhere.

    `environment`: the file of variables that it runs by. Raises PosthouseError with etcd's last words.
    """
    lines = (line.partition("=") for line in environment.read_text().splitlines() if line.startswith("ETCD_"))
    settings = {name: value for name, _, value in lines}
    with _running({**settings, "ETCD_FORCE_NEW_CLUSTER": "true"}, user) as process:
        until = time.monotonic() + within
        while not _is_ready(process, settings["ETCD_LISTEN_CLIENT_URLS"].split(",")[0]):
            if process.poll() is not None or time.monotonic() >= until:
                process.kill()
                said = process.stderr.read()[-500:] if process.stderr else ""
                raise PosthouseError("cluster-recover-failed", detail=said.strip() or "no answer")
            time.sleep(_POLL)


@contextmanager
def _running(settings: Mapping[str, str], user: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        ["/usr/bin/etcd"],
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
