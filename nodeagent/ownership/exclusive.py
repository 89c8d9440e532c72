"""Groups that only this node can serve, and the local one: taken without a controller, kept without the store.

docs/decisions/0003-exclusive-groups-outlive-the-store.md.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from appliance.cluster import keys
from appliance.cluster.model import Ownership
from appliance.cluster.names import LOCAL_GROUP, GroupName, NodeName, Seconds
from appliance.coordination.store import Field, Guard, Outcome, Put, Store
from appliance.ownership.transactions import Transaction
from nodeagent.ownership import memory
from nodeagent.ownership.decide import Acquire, Held, Plan, SeenOwner, adoptable, plan
from nodeagent.ownership.follow import View
from nodeagent.ownership.lane import Lane, StoreLane
from nodeagent.ownership.side_jobs import ExclusiveAddresses
from nodeagent.ownership.worker import wake_agent
from nodeagent.resources.cgroups import kill_group

log = logging.getLogger("posthouse.keeper")


class Exclusive:
    """Holds them for one node. `writes` carries transactions, `disk` what is written to the disk."""

    def __init__(
        self, node: NodeName, writes: StoreLane, disk: Lane, addresses: ExclusiveAddresses, *, only_voter: bool
    ) -> None:
        self._node = node
        self._writes = writes
        self._disk = disk
        self.addresses = addresses
        self._only_voter = only_voter
        self._asked: set[GroupName] = set()
        self._waiting: set[GroupName] = set()
        self.held: dict[GroupName, Held] = {}
        #: What was noted before this keeper, as far as the store has not said otherwise.
        self._noted: Mapping[GroupName, Held] = {}
        self.contested: tuple[GroupName, ...] = ()

    def begin(self) -> None:
        """Take over the markers of an earlier keeper of this boot, and always own the local group."""
        self.held = {group: held for group, held in memory.marked().items() if held.exclusive}
        self._noted = memory.remembered()
        self._hold(LOCAL_GROUP, Held(exclusive=True))
        self.addresses.begin(frozenset(self.held))

    def look(self, view: View, session: int, reply: Seconds, shared: Mapping[GroupName, object]) -> None:
        """Take and give up what the store says. What is held as `shared` stays so until it is let go."""
        unreadable = {name for each in (view.groups, view.owners) for name, value in each.items() if value is None}
        groups = {
            name: group
            for name, group in view.groups.items()
            if group is not None and name not in shared and name not in unreadable
        }
        owners = {name: SeenOwner(seen.record, seen.epoch) for name, seen in view.owners.items() if seen is not None}
        wanted = plan(self._node, session, groups, owners, self.held)
        if unreadable:  # what cannot be read is neither taken nor given up
            wanted = replace(wanted, release=())
        self._carry_out(wanted, session, reply)
        if not unreadable:
            mine = {name for name, group in groups.items() if group.held_exclusively_by(self._node)}
            self._noted = {name: held for name, held in self._noted.items() if name in mine}
            self._remember()
        found = {name: groups.get(name) for name in self.held if name != LOCAL_GROUP}
        self.addresses.want({name: group.addresses if group else None for name, group in found.items()})
        if not (wanted.acquire or unreadable):
            self.addresses.remember()

    def adopt(self) -> None:
        """The store does not answer after a boot: serve what nobody else can serve."""
        for group, held in adoptable(self._noted, only_voter=self._only_voter).items():
            if group not in self.held:
                log.warning("the store does not answer; group %s can only be served here and is started", group)
                self._hold(group, held)
        self.addresses.want_remembered(frozenset(self.held))

    def drop(self, group: GroupName, why: str) -> None:
        """End it at once. What does not end is swept."""
        log.error("dropping group %s: %s", group, why)
        memory.unmark(group)
        self.held.pop(group, None)
        wake_agent()
        try:
            kill_group(group, Seconds(0.0))
        except OSError as error:
            log.critical("processes of group %s could not be ended, it is tried again: %s", group, error)
        self._remember()

    def _carry_out(self, wanted: Plan, session: int, reply: Seconds) -> None:
        for group in wanted.release:
            self.drop(group, "it is no longer placed on this node")
        for acquire in wanted.acquire:
            self._acquire(acquire, session, reply)
        for group in set(wanted.contested) - set(self.contested):
            log.error("group %s is recorded as owned by another node and is not started here", group)
        self.contested = wanted.contested

    def _acquire(self, wanted: Acquire, session: int, reply: Seconds) -> None:
        if wanted.group in self._waiting:
            return
        self._waiting.add(wanted.group)
        key = keys.owner(wanted.group)
        record = Ownership(group=wanted.group, node=self._node, session_epoch=session)
        guards = (
            Guard(keys.session(self._node), Field.CREATE_REVISION, session),
            Guard(key, Field.MOD_REVISION, wanted.seen_revision),
        )
        transaction = Transaction(guards, (Put(key, record.model_dump_json()),))

        def send(store: Store) -> Outcome:
            return transaction.send(store, reply)

        def answered(outcome: Outcome | None) -> None:
            self._waiting.discard(wanted.group)
            if outcome is not None and outcome.succeeded:
                self._hold(wanted.group, Held(wanted.exclusive, outcome.revision))

        self._writes.ask(send, answered)

    def _hold(self, group: GroupName, held: Held) -> None:
        if group not in self.held:
            log.info("this node owns group %s", group)
        self.held[group] = held
        memory.mark_owned(group, held)
        wake_agent()
        self._remember()

    def _remember(self) -> None:
        held = {**self._noted, **self.held}
        self._disk.put(lambda: memory.remember(held))
