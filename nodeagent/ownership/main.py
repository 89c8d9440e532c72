"""Entry point of `posthouse-keeper`: lock memory, then step for ever on a monotonic clock."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading

from appliance import node_file
from appliance.cluster.timing import Timing
from appliance.coordination import connect
from appliance.coordination.store import Store
from appliance.node_file import NodeFile
from appliance.service_manager import notify
from nodeagent.identity import identity
from nodeagent.ownership.clock import boottime
from nodeagent.ownership.keeper import Keeper

log = logging.getLogger("posthouse.keeper")

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def lock_memory() -> None:
    """Never be paged out, mlockall(2): a swapping node must still notice its deadline."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        log.warning("memory is not locked: %s", os.strerror(ctypes.get_errno()))


def is_only_voter(identity: NodeFile) -> bool:
    """Whether the store is this node alone: its single endpoint is a loopback address."""
    if len(identity.store.endpoints) != 1:
        return False
    host, _ = node_file.endpoint_address(identity.store.endpoints[0])
    return not isinstance(host, str) and host.is_loopback


def main() -> None:
    """Run until SIGTERM. Ending the keeper drops nothing: its successor takes the markers over."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    lock_memory()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    node = identity(log)
    timing = Timing()

    def open_store() -> Store:
        return connect(node)

    keeper = Keeper(node.name, open_store, timing, only_voter=is_only_voter(node))
    keeper.begin()
    notify("READY=1")
    while not ended.is_set():
        began = boottime()
        renewed = keeper.step()
        pause = timing.renew - (boottime() - began) if renewed else 0.2
        ended.wait(max(pause, 0.05))
