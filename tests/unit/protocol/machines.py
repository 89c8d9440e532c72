"""Machines with their watchdogs, volumes with their storage keys, and fence agents that cannot be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.cluster.names import GroupName, NodeName
from appliance.ownership.taker import FenceKind
from tests.unit.protocol.clockwork import Clock, Process, World
from tests.unit.protocol.links import Link


@dataclass
class Volume:
    """Shared storage; `keys`: the machines whose writes it takes, each with its epoch; None: it takes everybody's."""

    keys: dict[NodeName, int] | None

    def register(self, node: NodeName, epoch: int) -> None:
        """Take this machine's writes from now on."""
        if self.keys is not None:
            self.keys[node] = epoch

    def forget(self, node: NodeName) -> None:
        """Refuse this machine's writes from now on."""
        if self.keys is not None:
            self.keys.pop(node, None)

    def refuses(self, node: NodeName) -> bool:
        """Whether this machine's writes fail."""
        return self.keys is not None and node not in self.keys

    def preempt(self, by: NodeName, below: int) -> None:
        """Refuse the writes of older keys; only who is registered may ask for it."""
        if self.keys is not None and by in self.keys:
            self.keys = {node: epoch for node, epoch in self.keys.items() if node == by or epoch >= below}


@dataclass
class Machine:
    """Hardware, kernel and engines; the keeper is a process on it. Times are true time."""

    world: World
    name: NodeName
    clock: Clock
    link: Link
    volumes: dict[GroupName, Volume]
    virtual: bool
    drop_takes: float
    boot_takes: float
    watchdog_rate: float = 1.0
    power: bool = True
    boot: int = 0
    frozen_until: float = 0.0
    hang_until: float = 0.0
    peers_cut_until: float = 0.0
    mounted: dict[GroupName, int] = field(default_factory=dict)
    fires_at: float | None = None
    keeper: Process | None = None
    start_keeper: Callable[[], Process] | None = None
    finished: list[tuple[str, GroupName]] = field(default_factory=list)
    _mounts: int = 0

    # --- what it does to volumes --------------------------------------------------------------------------

    def writes(self, group: GroupName) -> bool:
        """Whether it is able to write to the group's volume at this instant."""
        runs = self.power and self.world.now >= self.frozen_until
        return runs and group in self.mounted and not self.volumes[group].refuses(self.name)

    def mount(self, group: GroupName, preempt_below: int | None) -> None:
        """Mount and start engines, after ending the writes of every older key."""
        if preempt_below is not None:
            self.volumes[group].preempt(self.name, preempt_below)
        self._mounts += 1
        self.mounted[group] = self._mounts

    def end(self, group: GroupName, word: str) -> None:
        """Begin to kill and unmount; when it is done, `word` is told to the keeper."""
        mount, boot = self.mounted.get(group), self.boot

        def done() -> None:
            if self.boot != boot:
                return
            if self.world.now < self.hang_until or self.world.now < self.frozen_until:
                self.world.at(max(self.hang_until, self.frozen_until), done)
                return
            if self.mounted.get(group) == mount:
                self.mounted.pop(group, None)
                self.volumes[group].forget(self.name)
            self.finished.append((word, group))

        self.world.later(self.drop_takes, done)

    def end_everything(self) -> None:
        """What a keeper does first."""
        for group in self.volumes:
            self.end(group, "cleaned")

    # --- the watchdog -------------------------------------------------------------------------------------

    def pet(self, timeout: float) -> None:
        """Arm or pet: unless petted again it resets the machine after `timeout`."""
        self.fires_at = self.world.now + timeout / self.watchdog_rate
        self.world.at(self.fires_at, self._fire)

    def disarm(self) -> None:
        """The magic close."""
        self.fires_at = None

    def _fire(self) -> None:
        if self.fires_at is not None and self.world.now >= self.fires_at - 1e-9:
            self.lose_power(self.boot_takes)

    # --- power, freezing, the keeper's life ---------------------------------------------------------------

    def lose_power(self, boots_after: float | None) -> None:
        """All that ran is gone. None: it stays off until somebody switches it on."""
        self.power, self.fires_at = False, None
        self.mounted.clear()
        self.boot += 1
        boot = self.boot
        if self.keeper is not None:
            self.keeper.kill()
        if boots_after is not None:
            self.world.later(boots_after, lambda: self.switch_on() if self.boot == boot else None)

    def switch_on(self) -> None:
        """Boot; nothing is mounted."""
        if not self.power:
            self.power, self.frozen_until = True, 0.0
            self.finished.clear()
            self._new_keeper()

    def freeze(self, seconds: float) -> None:
        """The machine stands still and writes nothing. Only a virtual one's watchdog stands still with it."""
        if not self.power:
            return
        self.frozen_until = max(self.frozen_until, self.world.now + seconds)
        if self.keeper is not None:
            self.keeper.pause(seconds)
        if self.virtual and self.fires_at is not None:
            self.fires_at += seconds
            self.world.at(self.fires_at, self._fire)
        self.world.at(self.frozen_until, lambda: None)  # the first instant at which it can write again

    def crash_keeper(self, restarts_after: float) -> None:
        """Only the keeper dies: engines run on, and the watchdog counts on."""
        if self.keeper is not None:
            self.keeper.kill()
        boot = self.boot
        self.world.later(restarts_after, lambda: self._new_keeper() if self.boot == boot and self.power else None)

    def _new_keeper(self) -> None:
        assert self.start_keeper is not None
        if self.keeper is not None:
            self.keeper.kill()
        self.finished.clear()
        self.keeper = self.start_keeper()


class Agent(StrEnum):
    """How a fence agent behaves."""

    GOOD = "good"
    REFUSES = "refuses"
    HANGS = "hangs"
    TIMES_OUT_AND_DOES_IT_LATER = "times out and does it later"
    SAYS_DONE_AND_DOES_IT_LATER = "says done and does it later"
    SAYS_DONE_AND_NEVER_DOES_IT = "says done and never does it"


@dataclass
class FenceAgent:
    """Cuts off one machine. What it says is not to be believed; what a reading shows is true.

    Unless it is on the `wrong_plug`, which reads off and feeds nothing. While its machine is silent no software sees
    that, so it is no fault of the model: it has stories of its own.
    """

    world: World
    machine: Machine
    kind: FenceKind
    mode: Agent = Agent.GOOD
    later: float = 8.0
    wrong_plug: bool = False

    def order(self, group: GroupName, key: str | None) -> tuple[bool | None, float]:
        """Its answer (None: timed out), and how long it takes to come. `key`: the storage key to preempt."""
        does_it_after = {
            Agent.GOOD: 0.5,
            Agent.TIMES_OUT_AND_DOES_IT_LATER: self.later,
            Agent.SAYS_DONE_AND_DOES_IT_LATER: self.later,
        }.get(self.mode)
        if does_it_after is not None:
            self.world.later(does_it_after, lambda: self._cut_off(group, key))
        if self.mode is Agent.REFUSES:
            return False, 0.2
        if self.mode in {Agent.HANGS, Agent.TIMES_OUT_AND_DOES_IT_LATER}:
            return None, 3.0
        return True, 0.8

    def reading(self, group: GroupName, key: str | None) -> tuple[bool | None, float]:
        """Whether the machine is cut off now (None: timed out), and how long the reading takes to come."""
        if self.mode is Agent.HANGS:
            return None, 2.0
        if self.wrong_plug:
            return True, 0.3
        if self.kind is FenceKind.STORAGE:
            return not self._registered(group, key), 0.3
        return not self.machine.power, 0.3

    def _registered(self, group: GroupName, key: str | None) -> bool:
        keys = self.machine.volumes[group].keys or {}
        return self.machine.name in keys and f"{self.machine.name}:{keys[self.machine.name]}" == key

    def _cut_off(self, group: GroupName, key: str | None) -> None:
        if self.wrong_plug:
            return
        if self.kind is FenceKind.POWER:
            self.machine.lose_power(None)
        elif self._registered(group, key):
            self.machine.volumes[group].forget(self.machine.name)
