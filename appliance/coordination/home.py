"""The way home: a client stays with whichever member it reached first, and so with a stranger after every boot.

A node's keeper and agent start before its own store member takes connections. gRPC then holds the connection to another
one for as long as that lives, and when that node dies the survivors lose calls, although their own member never
stopped: renewals and observers' words came 1.5 s late, just when they counted. So whoever is answered by another
member than the first looks from time to time whether that one is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from appliance.cluster.names import Seconds
from appliance.coordination.rpc import grpc, rpc_pb2, rpc_pb2_grpc

log = logging.getLogger(__name__)

#: Between two looks at first, and at most: each time that the first member is left because it hangs doubles it.
LOOK_EVERY = Seconds(10.0)
_AT_MOST = Seconds(600.0)
_DEADLINE = Seconds(1.0)


class Home:
    """Whether the first member answers. `opened` makes a channel to it alone; `go` is called when one should return."""

    def __init__(self, opened: Callable[[], Any], go: Callable[[], None], every: Seconds = LOOK_EVERY) -> None:
        self._opened = opened
        self._go = go
        self._every = every
        self._member: int | None = None
        self._looked = time.monotonic()
        self._busy = threading.Lock()

    def answered(self, member: int) -> None:
        """A member answered a call."""
        if member == self._member or time.monotonic() - self._looked < self._every:
            return
        if self._busy.acquire(blocking=False):
            self._looked = time.monotonic()
            threading.Thread(target=self._look, args=(member,), name="store-home", daemon=True).start()

    def left(self) -> None:
        """The first member gave no answer, and another one was put first."""
        self._every = Seconds(min(2 * self._every, _AT_MOST))
        self._looked = time.monotonic()

    def _look(self, member: int) -> None:
        try:
            channel = self._opened()
            try:
                status = rpc_pb2_grpc.MaintenanceStub(channel).Status(rpc_pb2.StatusRequest(), timeout=_DEADLINE)
            finally:
                channel.close()
            self._member = int(status.header.member_id)
            if status.leader and member != self._member:
                log.info("the store's first member answers: going back to it")
                self._go()
        except (grpc.RpcError, ValueError):
            pass  # it is not back yet
        finally:
            self._busy.release()
