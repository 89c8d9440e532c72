"""What the agent reports: one record per node, in the store and, for when that is down, in a file.

`posthouse status` reads either.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from appliance.cluster.model import Fact
from appliance.cluster.names import NodeName
from appliance.errors import PosthouseError


class Notice(Fact):
    """Something to tell an operator: a message key and its facts, put into words in the reader's language."""

    key: str
    facts: Mapping[str, str | int | float] = Field(default_factory=dict)

    @classmethod
    def of(cls, error: PosthouseError) -> Notice:
        """The notice that tells of an error."""
        facts = {name: v if isinstance(v, int | float) else str(v) for name, v in error.facts.items()}
        return cls(key=error.key, facts=facts)


class ProbeReport(Fact):
    """One probe's latest: `took` in seconds of the last good answer."""

    name: str
    ok: bool | None
    took: float = 0.0
    problem: Notice | None = None


class InstanceReport(Fact):
    """One engine instance as an operator sees it."""

    instance: str
    state: str
    healthy: bool
    since: float = 0.0
    restarts: int = 0
    generation: str | None = None
    refused: Notice | None = None
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
    warnings: tuple[Notice, ...] = ()

    @property
    def healthy(self) -> bool:
        """Everything that should run here runs and answers."""
        served = {report.instance.partition("@")[2] for report in self.instances}
        return self.store_connected and served >= set(self.owned_groups) and all(i.healthy for i in self.instances)
