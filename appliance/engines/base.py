"""What every engine offers to the node agent.

Rendering is pure: facts and settings in, files out. The agent writes the files as
a new generation, runs `check` on it with the engine's own checker, and only then
makes it the one in force (`appliance/engines/generations.py`). Starting, stopping
and reloading go through the instance's systemd unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from appliance import paths
from appliance.cluster.model import Node, ServiceGroup
from appliance.cluster.names import EngineName, GroupName, InstanceId, NodeName, Seconds
from appliance.engines import topology
from appliance.errors import PosthouseError


class ConfigurationRefused(PosthouseError):
    """The engine's own checker refused a rendered configuration; the one in force stays."""

    def __init__(self, instance: InstanceId, detail: str) -> None:
        self.instance = instance
        super().__init__("configuration-refused", instance=str(instance), detail=detail)


class ProbeFailed(PosthouseError):
    """A health probe got no answer, or the wrong one."""

    def __init__(self, probe: str, detail: str) -> None:
        super().__init__("probe-failed", probe=probe, detail=detail)


class Overloaded(PosthouseError):
    """The engine lives, but every process of `service` is busy: it has reached its limit, which `setting` sets."""

    def __init__(self, service: str, limit: int, setting: str) -> None:
        super().__init__("probe-overloaded", service=service, limit=limit, setting=setting)


class Change(IntEnum):
    """What putting a new generation in force asks of the unit. Ordered: the larger includes the smaller."""

    NONE = 0
    RELOAD = 1
    RESTART = 2


@dataclass(frozen=True)
class RenderedFile:
    """One file of a generation. `mode` is its permission bits; owner is root, `group` a group's name.

    `change` says what the engine needs when this file alone changes.
    """

    text: str
    mode: int = 0o644
    group: str = "root"
    change: Change = Change.RELOAD


Rendered = Mapping[str, RenderedFile]


@dataclass(frozen=True)
class RenderContext:
    """Everything a configuration depends on. `settings` maps parameter name to effective value
    (system <- node <- group); `hostname` is the node's fully qualified mail host name; `nodes` are all servers of
    the cluster that the store knows, this one too; `groups` are all service groups likewise."""

    instance: InstanceId
    group: ServiceGroup
    node: Node
    hostname: str
    settings: Mapping[str, Any]
    nodes: Mapping[NodeName, Node] = field(default_factory=dict)
    groups: Mapping[GroupName, ServiceGroup] = field(default_factory=dict)

    @property
    def others(self) -> tuple[ServiceGroup, ...]:
        """The other groups that run this engine, by name."""
        mine, engine = self.group.name, self.instance.engine
        return tuple(group for name, group in sorted(self.groups.items()) if name != mine and engine in group.services)

    @property
    def edges(self) -> tuple[topology.Address, ...]:
        """Where sessions come from that edges pass on to this group; they do so to a group with an address."""
        return topology.edge_sources(self.nodes) if self.group.addresses else ()

    @property
    def config(self) -> Path:
        """Where the files will stand when in force."""
        return paths.config(self.instance)

    @property
    def run(self) -> Path:
        return paths.run(self.instance)

    @property
    def volume(self) -> Path:
        return paths.volume(self.instance.group)


@dataclass(frozen=True)
class Directory:
    """A folder the engine needs before it starts. `owner` and `group` are account names.

    `synchronous`: a name that is added, removed or changed in it is on the disk when the call returns, and so it is in
    folders that are made in it later (chattr(1), D). File systems that cannot, ignore it.
    """

    path: Path
    owner: str = "root"
    group: str = "root"
    mode: int = 0o755
    synchronous: bool = False


@dataclass(frozen=True)
class Probe:
    """A health probe: `run` speaks the protocol and raises ProbeFailed; it is cancelled after `deadline`.

    `overload` is asked after a failure whether all processes that would have answered are busy. Then the engine does
    not hang, and a restart would only throw out those whom it serves.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    deadline: Seconds = Seconds(5.0)
    every: Seconds = Seconds(10.0)
    overload: Callable[[], Awaitable[Overloaded | None]] | None = None


@dataclass(frozen=True)
class Facts:
    """How an engine is known before it is configured."""

    name: EngineName
    packages: tuple[str, ...]
    default_units: tuple[str, ...]
    settings: tuple[str, ...] = field(default=())


class Engine(ABC):
    """One engine. Stateless: everything about an instance comes in through the context."""

    facts: Facts

    @abstractmethod
    def directories(self, context: RenderContext) -> tuple[Directory, ...]:
        """The folders to make before a check or a start, parents first."""

    @abstractmethod
    def render(self, context: RenderContext) -> Rendered:
        """The files of the configuration, by path relative to the generation's folder. Pure."""

    @abstractmethod
    def check(self, context: RenderContext, folder: Path) -> None:
        """Run the engine's own checker on a generation in `folder`; raise ConfigurationRefused.

        `folder` holds the same files with every mention of `context.config` replaced by `folder`.
        """

    @abstractmethod
    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        """Protocol probes of a running instance."""

    def reads(self, context: RenderContext) -> tuple[Path, ...]:
        """Files outside the generation that the engine reads (certificates): a change asks for a reload."""
        return ()

    def ready(self, context: RenderContext) -> None:  # noqa: B027 - most engines need nothing more
        """Work beside the generation that needs no volume, so that a standby does it ahead. Idempotent and quick."""

    def prepare(self, context: RenderContext) -> None:  # noqa: B027 - most engines need nothing more
        """One-time work on the volume before the first start (initial database, queue folders). Idempotent."""

    def arrived(self, context: RenderContext) -> str | None:
        """Done once when a running instance first answers after its group came from another owner; the message key
        of the event that tells of it. Raises PosthouseError: it is tried again."""
        return None

    def ended_in_substance(self, processes: Collection[str]) -> bool:
        """Whether of an instance that is stopping only such processes are left (names as in /proc/PID/comm) as hold
        nothing of anybody's: ending them by force loses nothing."""
        return not processes

    def change(self, old: Rendered, new: Rendered) -> Change:
        """What going from `old` to `new` asks of the unit: the largest `change` of the files that differ."""
        changed = [
            (new.get(name) or old[name]).change for name in old.keys() | new.keys() if old.get(name) != new.get(name)
        ]
        return max(changed, default=Change.NONE)
