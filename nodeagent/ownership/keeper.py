"""The keeper's loop: renew the session, take what should be taken, drop what must be dropped.

Implements the owner's side of docs/developers/ownership.md. One step renews the
session by a guarded transaction and, when that went well, looks at the groups.
t0, the moment the last good renewal was *sent*, is the only base of the deadline.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from appliance.cluster import keys
from appliance.cluster.model import Fact, Ownership, ServiceGroup, Session
from appliance.cluster.names import LOCAL_GROUP, GroupName, NodeName, Seconds
from appliance.cluster.timing import Timing
from appliance.coordination.store import Delete, Field, Guard, Put, Store, StoreUnavailable
from appliance.errors import PosthouseError
from nodeagent.ownership import memory
from nodeagent.ownership.clock import boottime
from nodeagent.ownership.decide import Acquire, Held, Plan, SeenOwner, adoptable, expired, plan
from nodeagent.resources.cgroups import kill_group, populated_groups

log = logging.getLogger("posthouse.keeper")

#: How long one sweep waits for an end; the next step sweeps again.
_SWEEP = Seconds(0.2)

_Kind = TypeVar("_Kind", bound=Fact)


class Keeper:
    """Owns groups for one node. `step` is called every R seconds, or at once after a failed renewal."""

    def __init__(
        self,
        node: NodeName,
        connect: Callable[[], Store],
        timing: Timing,
        *,
        only_voter: bool,
        adopt_after: Seconds = Seconds(20.0),
    ) -> None:
        self._node = node
        self._connect = connect
        self._timing = timing.check()
        self._only_voter = only_voter
        self._adopt_after = adopt_after
        self._store: Store | None = None
        self._session: int | None = None
        self._sequence = 0
        self._renewed: float | None = None
        self._contested: tuple[GroupName, ...] = ()
        self._began = boottime()
        self._held: dict[GroupName, Held] = {}
        self._unreadable: set[str] = set()

    def begin(self) -> None:
        """Take over the markers of an earlier keeper of this boot, and always own the local group.

        What was not exclusive cannot be trusted after a gap of unknown length: it is dropped.
        """
        for group, held in memory.marked().items():
            if held.exclusive:
                self._held[group] = held
            else:
                self._drop(group, "the keeper was restarted")
        self._hold(LOCAL_GROUP, Held(exclusive=True))
        self._report()

    def step(self) -> bool:
        """Renew and look once; return whether the renewal went well."""
        self._drop_expired()
        renewed = self._renew()
        if renewed:
            self._look()
        elif boottime() - self._began >= self._adopt_after:
            self._adopt()
        self._drop_expired()
        self._sweep()
        self._report()
        return renewed

    def _renew(self) -> bool:
        sent = boottime()
        try:
            store = self._store = self._store or self._connect()
            if self._session is None:
                self._open_session(store)
            else:
                self._sequence += 1
                guards = [Guard(keys.session(self._node), Field.CREATE_REVISION, self._session)]
                outcome = store.transact(guards, [Put(keys.session(self._node), self._record())], deadline=self._reply)
                if not outcome.succeeded:
                    log.error("this node's session was taken away: everything shared is dropped, a new one is opened")
                    self._lose_session()
                    return False
        except StoreUnavailable as error:
            log.warning("session not renewed: %s", error)
            return False
        if self._session is None:
            return False
        self._renewed = sent
        return True

    def _open_session(self, store: Store) -> None:
        """Begin a new session; an old record of this node is deleted first so that the epoch is a new one."""
        key = keys.session(self._node)
        old = store.get(key, deadline=self._reply)
        if old is not None:
            store.transact([Guard(key, Field.MOD_REVISION, old.mod_revision)], [Delete(key)], deadline=self._reply)
        outcome = store.create(key, self._record(), deadline=self._reply)
        if outcome.succeeded:
            self._session = outcome.revision
            log.info("session opened, epoch %d", outcome.revision)

    def _look(self) -> None:
        assert self._store is not None
        assert self._session is not None
        try:
            groups = {
                group.name: group
                for record in self._store.list(keys.GROUPS, deadline=self._reply)[0]
                if (group := self._readable(ServiceGroup, record.key, record.value)) is not None
            }
            owners = {
                owner.group: SeenOwner(owner, record.mod_revision)
                for record in self._store.list(keys.OWNERS, deadline=self._reply)[0]
                if (owner := self._readable(Ownership, record.key, record.value)) is not None
            }
        except StoreUnavailable as error:
            log.warning("groups not read: %s", error)
            return
        if self._unreadable:
            self._unreadable.clear()  # what cannot be read is neither taken nor given up
            wanted = replace(plan(self._node, self._session, groups, owners, self._held), release=())
        else:
            wanted = plan(self._node, self._session, groups, owners, self._held)
        try:
            self._carry_out(wanted)
        except StoreUnavailable as error:
            log.warning("groups not taken: %s", error)

    def _readable(self, kind: type[_Kind], key: str, text: str) -> _Kind | None:
        try:
            return kind.model_validate_json(text)
        except (ValueError, PosthouseError) as error:
            log.error("%s cannot be read and is left as it is: %s", key, type(error).__name__)
            self._unreadable.add(key)
            return None

    def _carry_out(self, wanted: Plan) -> None:
        for group in wanted.release:
            self._drop(group, "it is no longer placed on this node")
        for acquire in wanted.acquire:
            self._acquire(acquire)
        for group in set(wanted.contested) - set(self._contested):
            log.error("group %s is recorded as owned by another node and is not started here", group)
        self._contested = wanted.contested

    def _acquire(self, wanted: Acquire) -> None:
        assert self._store is not None
        assert self._session is not None
        key = keys.owner(wanted.group)
        record = Ownership(group=wanted.group, node=self._node, session_epoch=self._session)
        outcome = self._store.transact(
            [
                Guard(keys.session(self._node), Field.CREATE_REVISION, self._session),
                Guard(key, Field.MOD_REVISION, wanted.seen_revision),
            ],
            [Put(key, record.model_dump_json())],
            deadline=self._reply,
        )
        if outcome.succeeded:
            self._hold(wanted.group, Held(wanted.exclusive, outcome.revision))

    def _adopt(self) -> None:
        for group, held in adoptable(memory.remembered(), only_voter=self._only_voter).items():
            if group not in self._held:
                log.warning("the store does not answer; group %s can only be served here and is started", group)
                self._hold(group, held)

    def _hold(self, group: GroupName, held: Held) -> None:
        if group not in self._held:
            log.info("this node owns group %s", group)
        self._held[group] = held
        memory.mark_owned(group, held)
        memory.remember(self._held)

    def _drop_expired(self) -> None:
        for group in expired(self._held, self._renewed, boottime(), self._timing):
            self._drop(group, "the session could not be renewed in time")

    def _lose_session(self) -> None:
        self._session = None
        self._renewed = None
        self._drop_expired()

    def _drop(self, group: GroupName, why: str) -> None:
        log.error("dropping group %s: %s", group, why)
        memory.unmark(group)
        self._held.pop(group, None)
        try:
            if not kill_group(group, self._timing.kill):
                log.critical("processes of group %s did not end within %.1f s", group, self._timing.kill)
        except OSError as error:
            log.critical("processes of group %s could not be ended, it is tried again: %s", group, error)
        memory.remember(self._held)

    def _sweep(self) -> None:
        """End what runs of groups that are not held: what outlived its drop, or started in the same moment."""
        for group in sorted(populated_groups() - self._held.keys()):
            log.error("processes of group %s run although this node does not own it: they are ended", group)
            try:
                memory.unmark(group)
                if not kill_group(group, _SWEEP):
                    log.critical("processes of group %s did not end yet; they are killed again", group)
            except OSError as error:
                log.critical("processes of group %s cannot be ended, it is tried again: %s", group, error)

    def _record(self) -> str:
        return Session(node=self._node, boot_id=_boot_id(), sequence=self._sequence).model_dump_json()

    @property
    def _reply(self) -> Seconds:
        return self._timing.reply

    def _report(self) -> None:
        try:
            self._write_report()
        except OSError as error:
            log.error("the report was not written, ownership goes on: %s", error)

    def _write_report(self) -> None:
        memory.write_atomically(
            memory.REPORT,
            json.dumps(
                {
                    "node": self._node,
                    "session_epoch": self._session,
                    "renewed_boottime": self._renewed,
                    "owned": sorted(self._held),
                    "contested": sorted(self._contested),
                }
            ),
        )


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
