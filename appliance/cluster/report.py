"""What the agent reports: one record per node, in the store and, for when that is down, in a file.

`posthouse status` reads either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from pydantic import Field

from appliance.cluster.model import CheckedGroupName, Fact
from appliance.cluster.names import NodeName
from appliance.errors import PosthouseError


class Notice(Fact):
    """Something to tell an operator: a message key and its facts, put into words in the reader's language.

    `grave`: mail does not work, or will not for long, until somebody does something.
    """

    key: str
    facts: Mapping[str, str | int | float] = Field(default_factory=dict)
    grave: bool = False

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
    """One engine instance as an operator sees it.

    `failing`: starts and restarts have not helped since it was last well for a while; another node may do better.
    """

    instance: str
    state: str
    healthy: bool
    since: float = 0.0
    restarts: int = 0
    generation: str | None = None
    refused: Notice | None = None
    probes: tuple[ProbeReport, ...] = ()
    last_log: tuple[str, ...] = ()
    failing: bool = False

    @property
    def answers(self) -> bool:
        """Runs and answers, whatever a refused setting says."""
        return self.state == "running" and all(probe.ok for probe in self.probes)


class StandbyReport(Fact):
    """A group that this node may own and does not: whether only mounting and starting is left, or why not."""

    group: CheckedGroupName
    ready: bool
    problem: Notice | None = None


class VolumeCondition(StrEnum):
    """How a mounted volume is. Of what is read-only or hangs, nothing can be served."""

    WELL = "well"
    FULL = "full"
    READ_ONLY = "read-only"
    HANGING = "hanging"
    UNKNOWN = "unknown"


class VolumeReport(Fact):
    """A volume of a group owned here; `name` is empty for the group's first one."""

    group: CheckedGroupName
    name: str = ""
    condition: VolumeCondition
    problem: Notice | None = None


class WatchdogReport(Fact):
    """What resets this node when its keeper falls silent: `kind` of device, and whether it is armed now."""

    kind: str
    armed: bool


class ClockReport(Fact):
    """What the time service says: `offset`, seconds that the clock is off by its own estimate; None: unknown."""

    synchronised: bool | None = None
    offset: float | None = None


class NodeReport(Fact):
    """One node. `reported_at` is Unix time, for people; only what a recovered store may have missed is judged by it.

    `owned_groups` are those whose engines are to run here; `stopping_groups` are being given up. `boot_id` tells
    one boot of the kernel from another (random(4)).
    """

    node: NodeName
    release: str
    reported_at: float
    store_connected: bool
    owned_groups: tuple[str, ...]
    instances: tuple[InstanceReport, ...]
    warnings: tuple[Notice, ...] = ()
    stopping_groups: tuple[str, ...] = ()
    standby: tuple[StandbyReport, ...] = ()
    volumes: tuple[VolumeReport, ...] = ()
    watchdog: WatchdogReport | None = None
    clock: ClockReport | None = None
    boot_id: str = ""

    @property
    def healthy(self) -> bool:
        """Everything that should run here runs and answers, and nothing grave is known."""
        all_well = all(instance.healthy for instance in self.instances)
        return self.store_connected and all_well and self._serves(self.instances) and not self._is_grave

    @property
    def mail_works(self) -> bool:
        """People can read and send, whatever else is wrong: every engine but the store runs and answers."""
        return (
            self._serves([i for i in self.instances if i.instance.partition("@")[0] != "etcd"]) and not self._is_grave
        )

    @property
    def _is_grave(self) -> bool:
        return any(warning.grave for warning in self.warnings)

    def _serves(self, instances: Collection[InstanceReport]) -> bool:
        """Whether these answer, and are of every group that is owned."""
        served = {report.instance.partition("@")[2] for report in instances}
        return served >= set(self.owned_groups) and all(i.answers for i in instances)

    def without_log(self) -> NodeReport:
        """The same for everybody's eyes."""
        return self.model_copy(
            update={"instances": tuple(i.model_copy(update={"last_log": ()}) for i in self.instances)}
        )
