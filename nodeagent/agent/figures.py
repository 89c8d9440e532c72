"""Serves the node's figures on the port that is set, and on none by default."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from appliance.cluster.names import NodeName
from appliance.cluster.report import NodeReport
from appliance.off_loop import off_loop

if TYPE_CHECKING:
    from nodeagent.agent.metrics import Serving

log = logging.getLogger("posthouse.agent")


class FiguresServer:
    """Runs in the agent's event loop; the figures themselves are told by a thread."""

    def __init__(self, report: Callable[[], NodeReport | None], peers: Callable[[], Mapping[NodeName, bool | None]]):
        self._report = report
        self._peers = peers
        self._wanted = 0
        self._serving: Serving | None = None
        self._change: asyncio.Task[None] | None = None

    def follow(self, port: int) -> None:
        """Serve on this port from now on, 0 for nowhere; returns at once."""
        if port != self._wanted and (self._change is None or self._change.done()):
            self._wanted = port
            self._change = asyncio.create_task(self._move_to(port))

    async def _move_to(self, port: int) -> None:
        from nodeagent.agent import metrics  # noqa: PLC0415 - who does not ask for figures does not pay for them

        if self._serving is not None:
            await off_loop(metrics.end, self._serving)
            self._serving = None
        if port:
            try:
                self._serving = metrics.serve(metrics.Figures(self._report, self._peers), port)
            except OSError as error:
                log.error("no figures on port %d: %s", port, error)
            else:
                log.info("figures are told on 127.0.0.1, port %d", port)
