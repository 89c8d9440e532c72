"""What the keeper does beside the protocol: addresses of exclusive groups, looks at volumes that it may have to take.

A job is a process with a deadline (forks.py), so the loop waits for nothing. What failed is in `faults` until it goes
well; it is tried again with the next look at the store, and for volumes once a minute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from appliance.clock import boottime
from appliance.cluster.model import ServiceGroup, VolumeDriver, VolumeSpec
from appliance.cluster.names import LOCAL_GROUP, GroupName, NodeName, Seconds
from appliance.errors import PosthouseError
from nodeagent.ownership import memory
from nodeagent.ownership.forks import Forks
from nodeagent.ownership.lane import Lane, Post

log = logging.getLogger("posthouse.keeper")

Address = IPv4Address | IPv6Address
Fault = PosthouseError | OSError

_ADDRESSES: Final = Seconds(10.0)
_CHECK: Final = Seconds(10.0)
#: Between two looks at a volume.
_CHECK_EVERY: Final = Seconds(60.0)


class SideJobs(Lane):
    """The lane, and what both kinds of jobs need. Its state is the loop's: answers come back by `post`."""

    def __init__(self, name: str, node: NodeName, forks: Forks, post: Post) -> None:
        super().__init__(name)
        self._node = node
        self._forks = forks
        self._back = post

    def do(
        self, what: str, group: ServiceGroup, deadline: Seconds, done: Callable[[Fault | None], None], **more: Any
    ) -> None:
        """Begin a job; `done` is called in the loop with what it failed with."""
        request = {
            "do": what,
            "group": group.model_dump_json(),
            "node": self._node,
            "epoch": None,
            "owner_epoch": None,
            **more,
        }

        def carry_out() -> None:
            fault: Fault | None = None
            try:
                self._forks.start(request, deadline).wait()
            except (PosthouseError, OSError) as error:
                fault = error
            except Exception as error:  # whoever waits is told in any case, or would wait for ever
                log.exception("a job of group %s failed: %s", group.name, what)
                fault = OSError(f"{type(error).__name__}: {error}")
            self._back(lambda: done(fault))

        self.put(carry_out)


class ExclusiveAddresses:
    """Brings the addresses of exclusive groups up and down. They stay when the keeper ends.

    `slow` is for announcements, which take seconds.
    """

    def __init__(self, jobs: SideJobs, slow: SideJobs, disk: Lane) -> None:
        self._jobs = jobs
        self._slow = slow
        self._disk = disk
        #: What may be up, by group.
        self._up: dict[GroupName, tuple[Address, ...]] = {}
        self._wanted: dict[GroupName, tuple[Address, ...]] = {}
        self._busy: set[GroupName] = set()
        self._stale: set[GroupName] = set()
        self.faults: dict[GroupName, Fault] = {}

    def begin(self, held: frozenset[GroupName]) -> None:
        """What an earlier keeper of this boot brought up; it is brought up once more, in case it is not."""
        for name, note in memory.attached().items():
            if name in held and note is not None:
                self._up[name] = note.group.addresses
                self._stale.add(name)

    def want(self, groups: Mapping[GroupName, tuple[Address, ...] | None]) -> None:
        """The exclusive groups that are held, with their addresses; None: as they are."""
        for name in self._up.keys() - groups.keys():
            self._change(name, ())
        for name, addresses in groups.items():
            if addresses is not None:
                self._change(name, addresses)
        self._wanted = {name: addresses for name, addresses in groups.items() if addresses}

    def remember(self) -> None:
        """Note what is wanted, for a boot without the store."""
        known = dict(self._wanted)
        self._disk.put(lambda: memory.remember_addresses(known))

    def want_remembered(self, held: frozenset[GroupName]) -> None:
        """The store does not answer: as it was when it last did."""
        for name, addresses in memory.remembered_addresses().items():
            if name in held:
                self._change(name, addresses)

    @property
    def leaving(self) -> frozenset[GroupName]:
        """Groups whose addresses are being taken away, or brought up, at this moment."""
        return frozenset(self._busy)

    def announce(self) -> None:
        """Tell the neighbours again where the addresses are."""
        for name, addresses in self._up.items():
            if addresses and name not in self._busy:
                self._slow.do("announce", _bare(name, addresses), _ADDRESSES, _said)

    def _change(self, name: GroupName, wanted: tuple[Address, ...]) -> None:
        before = self._up.get(name, ())
        if name in self._busy or (before == wanted and name not in self._stale):
            return
        gone = [each for each in before if each not in wanted]
        self._up[name] = (*wanted, *gone)
        self._busy.add(name)
        memory.note_attached(_bare(name, self._up[name]), None)

        def done(fault: Fault | None) -> None:
            self._busy.discard(name)
            if fault is not None:
                self._failed(name, fault)
                self._stale.add(name)
                return
            self.faults.pop(name, None)
            self._stale.discard(name)
            if wanted:
                self._up[name] = wanted
                memory.note_attached(_bare(name, wanted), None)
                log.info("group %s has its addresses: %s", name, ", ".join(map(str, wanted)))
                self._slow.do("announce", _bare(name, wanted), _ADDRESSES, _said)
            else:
                self._up.pop(name, None)
                memory.forget_attached(name)

        gone_texts = [str(each) for each in gone]
        self._jobs.do("readdress", _bare(name, wanted), _ADDRESSES, done, gone=gone_texts)

    def _failed(self, name: GroupName, fault: Fault) -> None:
        if str(fault) != str(self.faults.get(name)):
            log.error("the addresses of group %s are not right, it is tried again: %s", name, fault)
        self.faults[name] = fault


class StandbyVolumes:
    """Looks, while others own them, whether this node could attach the volumes of groups; changes nothing on them."""

    def __init__(self, jobs: SideJobs) -> None:
        self._jobs = jobs
        self._due: dict[GroupName, float] = {}
        self._seen: dict[GroupName, ServiceGroup] = {}
        self._busy: set[GroupName] = set()
        self.faults: dict[GroupName, Fault | None] = {}

    def look(self, groups: Mapping[GroupName, ServiceGroup]) -> None:
        """The groups that may come here, and are not here; to be called often."""
        for gone in self._due.keys() - groups.keys():
            del self._due[gone]
            self._seen.pop(gone, None)
            self.faults.pop(gone, None)
        now = boottime()
        for name, group in groups.items():
            changed = self._seen.get(name) != group
            if name in self._busy or not _mounts(group) or (now < self._due.get(name, 0.0) and not changed):
                continue
            self._due[name], self._seen[name] = now + _CHECK_EVERY, group
            self._busy.add(name)
            self._jobs.do("check", group, _CHECK, partial(self._done, name))

    def _done(self, name: GroupName, fault: Fault | None) -> None:
        self._busy.discard(name)
        if name not in self._due:
            return
        if fault is not None and str(fault) != str(self.faults.get(name)):
            log.warning("group %s could not be taken by this node: %s", name, fault)
        self.faults[name] = fault


def _said(fault: Fault | None) -> None:
    """An announcement that failed is told and left."""
    if fault is not None:
        log.error("addresses were not announced: %s", fault)


def _mounts(group: ServiceGroup) -> bool:
    volumes = (group.volume, *group.extra_volumes.values())
    return group.name != LOCAL_GROUP and any(each.driver is not VolumeDriver.DIRECTORY for each in volumes)


def _bare(name: GroupName, addresses: tuple[Address, ...]) -> ServiceGroup:
    """A group of nothing but addresses: whatever is done to it, nothing is mounted or unmounted."""
    return ServiceGroup(name=name, addresses=addresses, volume=VolumeSpec())
