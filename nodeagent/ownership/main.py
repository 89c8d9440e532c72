"""Entry point of `posthouse-keeper`: lock memory, then step until it is to end.

SIGTERM: give the shared groups away in order, and end. SIGHUP: another release was installed; end for its keeper as
soon as no shared group is held, and until then go on (docs/decisions/0082-the-keeper-in-an-upgrade.md).
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from importlib.metadata import PackageNotFoundError, version

from appliance import (
    i18n,  # noqa: F401 - all code is loaded at the start: what is on disk later may be another release's
    node_file,
)
from appliance.clock import boottime
from appliance.cluster.names import Seconds
from appliance.coordination import connect
from appliance.coordination.store import Store
from appliance.node_file import NodeFile
from appliance.service_manager import notify
from nodeagent.identity import identity
from nodeagent.ownership import timings
from nodeagent.ownership.forks import Forks
from nodeagent.ownership.keeper import Keeper
from nodeagent.ownership.machine import Machine

log = logging.getLogger("posthouse.keeper")

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
#: So long a keeper that is to end tries to give its shared groups away; the unit's TimeoutStopSec is longer.
_FAREWELL = Seconds(25.0)


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


def _release() -> str:
    """The release of this process; empty where it runs from a source tree."""
    try:
        return version("posthouse")
    except PackageNotFoundError:
        return ""


def main() -> None:
    """Run until it is to end; exclusive groups go on for a successor."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    forks = Forks()
    forks.split_off()  # before there are threads, and before the memory of gRPC would be shared with it
    lock_memory()
    node = identity(log)

    def open_store() -> Store:
        return connect(node)

    keeper = Keeper(
        node.name,
        open_store,
        timings.kept(),
        only_voter=is_only_voter(node),
        machine=Machine.this(node.watchdog),
        forks=forks,
        release=_release(),
    )
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()
        keeper.wake()

    def make_way(*_: object) -> None:
        keeper.superseded = True
        keeper.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, make_way)
    keeper.begin()
    notify("READY=1")
    while not ended.is_set() and not keeper.may_be_followed:
        keeper.step()
    notify("STOPPING=1")
    until = boottime() + _FAREWELL
    while not keeper.leave() and boottime() < until:
        keeper.step()
    keeper.close()
