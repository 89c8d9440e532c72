"""What the agent reports: one record per node, in the store and, for when that is down, in a file.

`posthouse status` reads either.
"""

from __future__ import annotations

from appliance.cluster.model import Fact
from appliance.cluster.names import NodeName


class ProbeReport(Fact):
    """One probe's latest: `took` in seconds of the last good answer."""

    name: str
    ok: bool | None
    took: float = 0.0
    detail: str = ""


class InstanceReport(Fact):
    """One engine instance as an operator sees it."""

    instance: str
    state: str
    healthy: bool
    since: float = 0.0
    restarts: int = 0
    generation: str | None = None
    refused: str | None = None
    probes: tuple[ProbeReport, ...] = ()
    last_log: tuple[str, ...] = ()


class NodeReport(Fact):
    """One node. `reported_at` is Unix time, for people; nothing is decided by it."""

    node: NodeName
    release: str
    reported_at: float
    store_connected: bool
    owned_groups: tuple[str, ...]
    instances: tuple[InstanceReport, ...]
    warnings: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Everything that should run here runs and answers."""
        return self.store_connected and bool(self.instances) and all(i.healthy for i in self.instances)
