"""A cluster of the model: machines, store, keepers, a taker; and the promises that hold at every instant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from appliance.cluster.model import OwnershipStage
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.timing import FenceMode, Timing
from appliance.errors import BadInput
from appliance.ownership.decisions import AskOperator
from appliance.ownership.taker import FenceKind
from tests.unit.protocol.clockwork import Clock, Process, World
from tests.unit.protocol.drivers import Keeper, Protocol, Taker, Wishes
from tests.unit.protocol.links import Link, ModelStore
from tests.unit.protocol.machines import FenceAgent, Machine, Volume

#: What scheduling and messages may add to a promise, seconds.
SLACK = 0.15


class Violation(AssertionError):
    """A promise of the protocol was broken."""


class TwoOwners(Violation):
    """Two machines were able to write to one volume at the same instant."""


@dataclass(frozen=True)
class Setup:
    """What a cluster is built of."""

    mode: FenceMode
    watchdog: bool
    virtual: bool
    fence: FenceKind | None = None
    outlives: bool = False

    @property
    def storage(self) -> bool:
        """Whether the volumes take storage keys."""
        return self.fence is FenceKind.STORAGE


SETUPS = {
    "watchdog": Setup(FenceMode.WATCHDOG, watchdog=True, virtual=False),
    "power and watchdog": Setup(FenceMode.WATCHDOG, watchdog=True, virtual=False, fence=FenceKind.POWER),
    "power, virtual": Setup(FenceMode.FENCED, watchdog=False, virtual=True, fence=FenceKind.POWER),
    "storage, virtual": Setup(FenceMode.FENCED, watchdog=False, virtual=True, fence=FenceKind.STORAGE),
    "storage, outliving the store": Setup(
        FenceMode.FENCED, watchdog=False, virtual=True, fence=FenceKind.STORAGE, outlives=True
    ),
    "neither": Setup(FenceMode.FENCED, watchdog=False, virtual=False),
}

#: Not to be built: the watchdog of a virtual machine stands still together with it.
WRONG_SETUPS = {"virtual, its watchdog published": Setup(FenceMode.WATCHDOG, watchdog=True, virtual=True)}


class Promises(Enum):
    """What is checked at every instant."""

    #: At most one machine is able to write to a volume.
    ONE_WRITER = 1
    #: That, and what the owner's side promises by itself: nothing after t0 + D + K, no pet after t0 + r.
    OWNERS_SIDE = 2
    #: That, and who is able to write is the recorded owner.
    ALL = 3


@dataclass(frozen=True)
class Shape:
    """What hypothesis draws once for a cluster."""

    setup: Setup
    nodes: int = 2
    groups: int = 1
    rates: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    drop_takes: float = 0.2
    boot_takes: float = 9.0
    timing: Timing | None = None


class Cluster:
    """Everything, running from the first moment."""

    def __init__(self, shape: Shape, protocol: Protocol, promises: Promises = Promises.ALL) -> None:
        self.shape, self.setup, self.protocol, self.promises = shape, shape.setup, protocol, promises
        self.timing = accepted(shape.timing, self.setup.mode)
        self.world = World()
        self.store = ModelStore(self.world)
        names = [NodeName(name) for name in "abc"[: shape.nodes]]
        groups = [GroupName(name) for name in ("mail", "more")[: shape.groups]]
        self.volumes = {group: Volume({} if self.setup.storage else None) for group in groups}
        self.wishes = Wishes(dict.fromkeys(groups, names[0]))
        self.keepers: dict[NodeName, Keeper] = {}
        self.machines = {name: self._machine(name, shape.rates[number]) for number, name in enumerate(names)}
        self.agents = {
            name: FenceAgent(self.world, machine, self.setup.fence)
            for name, machine in self.machines.items()
            if self.setup.fence is not None
        }
        self.taker = self._taker(shape.rates[3])
        self.world.after_each.append(self.check)
        for machine in self.machines.values():
            assert machine.start_keeper is not None
            machine.keeper = machine.start_keeper()
        self.taker.start()

    def _machine(self, name: NodeName, rate: float) -> Machine:
        clock = Clock(self.world, rate, offset=100.0)
        machine = Machine(
            self.world,
            name,
            clock,
            Link(self.world, self.store),
            self.volumes,
            self.setup.virtual,
            self.shape.drop_takes,
            self.shape.boot_takes,
            watchdog_rate=2 - rate,  # on another crystal than the clock
        )
        machine.start_keeper = self._start_keeper(machine)
        return machine

    def _start_keeper(self, machine: Machine) -> Callable[[], Process]:
        def start() -> Process:
            me = self.protocol.identity(
                node=machine.name,
                boot_id=f"boot {machine.boot}",
                machine_id=f"machine {machine.name}",
                timing=self.timing,
                mode=self.setup.mode,
                watchdog=self.setup.watchdog,
            )
            keeper = Keeper(
                machine, self.store, self.protocol, me, self.wishes, self.setup.storage, self.setup.outlives
            )
            self.keepers[machine.name] = keeper
            return Process(self.world, machine.clock, machine.link.send, keeper.body()).start()

        return start

    def _taker(self, rate: float) -> Taker:
        return Taker(
            self.world,
            Clock(self.world, rate, offset=5000.0),
            Link(self.world, self.store),
            self.store,
            self.protocol,
            self.timing,
            self.machines,
            self.agents,
            self.setup.fence,
            self.wishes,
        )

    # --- the promises -------------------------------------------------------------------------------------

    def check(self) -> None:
        """No two machines are able to write; and what the owner's side promises on its own."""
        for group in self.volumes:
            writers = [name for name, machine in self.machines.items() if machine.writes(group)]
            if len(writers) > 1:
                raise TwoOwners(f"{group}: {writers} at {self.world.now:.2f}")
            if writers and self.promises is Promises.ALL:
                self._check_recorded(group, writers[0])
            if writers and self.promises is not Promises.ONE_WRITER:
                self._check_deadline(group, writers[0])
        for keeper in self.keepers.values():
            while keeper.petted:
                pet = keeper.petted.pop()
                if self.promises is not Promises.ONE_WRITER:
                    self._check_pet(keeper, *pet)

    def _check_recorded(self, group: GroupName, name: NodeName) -> None:
        owner = self.store.view().owners.get(group)
        if owner is None or (owner.record.node, owner.record.stage) != (name, OwnershipStage.CONFIRMED):
            raise Violation(f"{group}: {name} is able to write and is not its recorded owner")

    def _check_deadline(self, group: GroupName, name: NodeName) -> None:
        keeper, machine = self.keepers[name], self.machines[name]
        process = machine.keeper
        ends = keeper.last_good + (self.timing.demote + self.timing.kill) / machine.clock.rate + SLACK
        if self.world.now <= ends or self.setup.outlives or process is None or process.dead:
            return
        disturbed = max(process.undisturbed_since, machine.hang_until, machine.frozen_until)
        if disturbed <= keeper.last_good:
            raise Violation(f"{group}: {name} is able to write later than t0 + D + K and was never stopped")

    def _check_pet(self, keeper: Keeper, at: float, last_good: float, answered_at: float) -> None:
        process = keeper.machine.keeper
        undisturbed = process is not None and process.undisturbed_since <= answered_at
        if undisturbed and at - last_good > self.timing.reply / keeper.machine.clock.rate + SLACK:
            raise Violation(f"{keeper.me.node} petted its watchdog {at - last_good:.2f} s after the last good renewal")

    # --- the end of all faults ----------------------------------------------------------------------------

    def serving(self, group: GroupName) -> NodeName | None:
        """The machine that is able to write to the group's volume."""
        return next((name for name, machine in self.machines.items() if machine.writes(group)), None)

    def heal(self) -> None:
        """Every fault ends, except that machines that were switched off stay off."""
        self.store.no_quorum_until = self.store.held_until = 0.0
        self.taker.link.heal()
        for agent in self.agents.values():
            agent.mode = agent.mode.GOOD
        for machine in self.machines.values():
            machine.link.heal()
            machine.hang_until = machine.peers_cut_until = 0.0

    def must_serve(self) -> None:
        """In fair weather each group is served, or stands still for a reason that the operator was told."""
        self.heal()
        longest_fault = 60.0
        self.world.advance(longest_fault + 3 * (self.timing.takeover + self.shape.boot_takes))
        for group in self.volumes:
            if self.serving(group) is None and isinstance(self.taker.last[group], AskOperator):
                self.acknowledge(group)
        if all(not machine.power for machine in self.machines.values()):
            for machine in self.machines.values():
                machine.switch_on()
        self.world.advance(40.0)
        for group in self.volumes:
            if self.serving(group) is None:
                raise Violation(f"{group} is not served; the last decision: {self.taker.last[group]}")

    def acknowledge(self, group: GroupName) -> None:
        """The operator makes sure that the recorded owner is off, and says so."""
        owner = self.store.view().owners.get(group)
        if owner is not None:
            self.machines[owner.record.node].lose_power(None)
            self.wishes.acknowledged[group] = owner.record.session_epoch


def accepted(timing: Timing | None, mode: FenceMode) -> Timing:
    """The timing if it is accepted when it is read; else the starting values."""
    if timing is None:
        return Timing.starting(mode)
    try:
        return timing.check_for(mode)
    except BadInput:
        return Timing.starting(mode)
