"""Carries out for one group what the keeper's loop decided: kill, mount, addresses, marker; and says when it is done.

A thread of its own, because a job may hang. A drop ends whatever is under way and waits until that is really over:
a mount that completed behind an unmount would be a second owner. What fails is tried again until the loop says
otherwise: a group that cannot be dropped stays in the loop's holdings, and the watchdog is not petted.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from appliance import paths
from appliance.cluster.model import Basis, ServiceGroup
from appliance.cluster.names import NodeName, Seconds
from appliance.errors import PosthouseError
from nodeagent.ownership import memory
from nodeagent.ownership.forks import Forks, Job
from nodeagent.resources.cgroups import kill_group, populated_groups

log = logging.getLogger("posthouse.keeper")

#: So long the agent may take to stop the engines of a group that moves; what is left then is killed.
STOP_PATIENCE = Seconds(10.0)
#: Deadlines of jobs. Before a mount may come a repair, which would begin anew if it were ended.
_PREPARE, _TAKE, _GIVE = Seconds(10.0), Seconds(3600.0), Seconds(60.0)
_LOOK, _ANNOUNCE, _WITHDRAW = Seconds(5.0), Seconds(10.0), Seconds(5.0)
#: After a job that failed.
_AGAIN = Seconds(0.5)
#: Between two looks at a group's processes while they end.
_POLL = Seconds(0.02)
#: Between two looks at a storage key.
_KEY_POLL = Seconds(2.0)


class Word(StrEnum):
    """What a worker says."""

    PREPARED = "prepared"
    TAKEN = "taken"
    KEY_LOST = "key lost"
    STOPPED = "stopped"
    DROPPED = "dropped"


class Interrupted(Exception):
    """A stop or a drop was ordered; what is under way counts no more."""


@dataclass(frozen=True)
class Taking:
    """What is known when a group may be mounted."""

    epoch: int
    preempt_below: int | None
    clear_mmp: bool
    basis: Basis | None


class GroupWorker(threading.Thread):
    """One group's hands. `say` is called from its thread; `fault` is what failed last, None after it went well."""

    def __init__(
        self,
        group: ServiceGroup,
        node: NodeName,
        forks: Forks,
        say: Callable[[Word], None],
        *,
        kill: Seconds,
        key_epoch: int | None = None,
    ) -> None:
        super().__init__(name=f"group {group.name}", daemon=True)
        self.group = group
        self.fault: PosthouseError | OSError | None = None
        self.serving = False
        #: Something of it may be mounted, registered or added here.
        self.attached = False
        #: What that is, nobody knows: the note of it cannot be read.
        self.unknown = False
        self._node = node
        self._forks = forks
        self._say = say
        self._kill = kill
        self._key_epoch = key_epoch
        self._owner_epoch: int | None = None
        self._orders: queue.SimpleQueue[tuple[int, Callable[[], None] | None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        #: Stops and drops are numbered: what was ordered before the latest of them is not carried out any more.
        self._latest = 0
        self._interrupted = threading.Event()
        self._job: Job | None = None

    # --- orders, from the loop ----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Register the storage key; then PREPARED."""
        self._order(self._prepare)

    def take(self, taking: Taking) -> None:
        """Mount, add and announce addresses, let the engines start; then TAKEN, and KEY_LOST if that happens."""
        self._order(lambda: self._take(taking))

    def announce(self) -> None:
        """Tell the neighbours again where the addresses are: what parted this node from others may have healed."""
        self._order(self._announce)

    def readdress(self, group: ServiceGroup) -> None:
        """The group's addresses are those of `group` from now on. What fails is in `fault`, and may be asked again."""
        self._order(lambda: self._readdress(group))

    def give(self) -> None:
        """Let the agent stop the engines, then unmount; then STOPPED. A taking that is not over is given up."""
        self._order(self._stop, instead=True)

    def drop(self) -> None:
        """End everything at once, whatever is under way; then DROPPED."""
        self._order(self._drop, instead=True)

    def end(self) -> None:
        """End the thread after what was ordered."""
        self._order(None)

    def _order(self, order: Callable[[], None] | None, *, instead: bool = False) -> None:
        """Queue an order; `instead` of everything before it, what is under way included."""
        with self._lock:
            if instead:
                self._latest += 1
                self._interrupted.set()
                if self._job is not None:
                    self._job.kill()
            self._orders.put((self._latest, order))

    # --- in its own thread --------------------------------------------------------------------------------

    def run(self) -> None:
        while True:
            order: Callable[[], None] | None
            try:
                number, order = self._orders.get(timeout=_KEY_POLL if self.serving and self._keyed else None)
                with self._lock:
                    if number == self._latest:
                        self._interrupted.clear()
            except queue.Empty:
                order = self._look
            if order is None:
                return
            with suppress(Interrupted):
                self._carry_out(order)

    def _carry_out(self, order: Callable[[], None]) -> None:
        while True:
            try:
                return order()
            except Exception as error:
                if isinstance(error, Interrupted):
                    raise
                log.exception("group %s: an order failed and is carried out again", self.group.name)
                self._pause(_AGAIN)

    @property
    def _keyed(self) -> bool:
        volumes = (self.group.volume, *self.group.extra_volumes.values())
        return any(volume.reservation for volume in volumes)

    def _prepare(self) -> None:
        self.attached = True
        memory.note_attached(self.group, self._key_epoch)
        if self._keyed:
            self._until_done("prepare", _PREPARE)
        self._say_unless_interrupted(Word.PREPARED)

    def _take(self, taking: Taking) -> None:
        self._owner_epoch = taking.epoch
        self._until_done("take", _TAKE, below=taking.preempt_below, clear_mmp=taking.clear_mmp)
        with self._lock:
            if self._interrupted.is_set():
                raise Interrupted
            memory.mark_shared(self.group.name, taking.epoch, taking.basis)
        wake_agent()
        self.serving = True
        self._say_unless_interrupted(Word.TAKEN)
        self._announce()

    def _announce(self) -> None:
        """Again and again for some seconds, while engines start; what fails is told and left."""
        if self.serving and self.group.addresses:
            try:
                self._work("announce", _ANNOUNCE)
            except (PosthouseError, OSError) as error:
                log.error("the addresses of group %s were not announced: %s", self.group.name, error)

    def _readdress(self, wanted: ServiceGroup) -> None:
        if not self.serving or wanted.addresses == self.group.addresses:
            return
        gone = [each for each in self.group.addresses if each not in wanted.addresses]
        # noted before it is so, with what may still be there: whatever comes in between, all of it is taken away
        self._be(addresses=(*wanted.addresses, *gone))
        job = self.group.model_copy(update={"addresses": wanted.addresses})
        try:
            self._work("readdress", _ANNOUNCE, group=job.model_dump_json(), gone=[str(each) for each in gone])
        except (PosthouseError, OSError) as error:
            self._failed("given its new addresses", error)
            return
        self.fault = None
        self._be(addresses=wanted.addresses)
        log.info("group %s has new addresses: %s", self.group.name, ", ".join(map(str, wanted.addresses)) or "-")
        self._announce()

    def _be(self, *, addresses: tuple[IPv4Address | IPv6Address, ...]) -> None:
        self.group = self.group.model_copy(update={"addresses": addresses})
        memory.note_attached(self.group, self._key_epoch)

    def _look(self) -> None:
        try:
            self._work("look", _LOOK)
        except PosthouseError as error:
            if error.key == "storage-key-lost":
                self.fault, self.serving = error, False
                self._say_unless_interrupted(Word.KEY_LOST)

    def _stop(self) -> None:
        self.serving = False
        memory.mark_stopping(self.group.name)
        wake_agent()
        until = time.monotonic() + STOP_PATIENCE
        while self.group.name in populated_groups():
            if time.monotonic() >= until:
                log.error("group %s did not stop within %.0f s and is killed", self.group.name, STOP_PATIENCE)
                break
            self._pause(_POLL)
        self._end_everything()
        self._say_unless_interrupted(Word.STOPPED)

    def _drop(self) -> None:
        self.serving = False
        self._end_everything(force=True)
        self._say(Word.DROPPED)

    def _end_everything(self, *, force: bool = False) -> None:
        """Marker away, kill, addresses away, unmount, storage key back. Returns when nothing is left.

        A process that hangs in the kernel outlives SIGKILL for as long as it hangs. Addresses do not wait for it, and
        the unmount is tried all the same: it may be what ends the hang (umount2(2), MNT_FORCE).
        """
        killed = False
        while self.attached or not killed:
            memory.unmark(self.group.name)
            wake_agent()
            killed = self._killed_and_withdrawn()
            if self.attached:
                self._given(force=force or not killed)
            if not killed or self.attached:
                force = True
                self._pause(_AGAIN)
        self.fault = None
        memory.forget_attached(self.group.name)

    def _given(self, *, force: bool) -> None:
        try:
            self._work("give", _GIVE, force=force, unknown=self.unknown)
            self.attached = False
        except (PosthouseError, OSError) as error:
            self._failed("given up", error)

    def _killed_and_withdrawn(self) -> bool:
        """Kill what runs, and take the addresses away meanwhile; return whether nothing runs any more."""
        withdrawing = None
        if self.attached and self.group.addresses and self.group.name in populated_groups():
            with suppress(OSError):  # no process for it: it is tried again with the volumes
                withdrawing = self._begin("withdraw", _WITHDRAW)
        killed = self._killed()
        if withdrawing is not None:
            try:
                self._finish(withdrawing)
            except PosthouseError as error:
                self._failed("given up", error)
        return killed

    def _killed(self) -> bool:
        try:
            if kill_group(self.group.name, self._kill):
                return True
            log.critical("processes of group %s did not end within %.1f s", self.group.name, self._kill)
        except OSError as error:
            log.critical("processes of group %s cannot be ended, it is tried again: %s", self.group.name, error)
        return False

    def _until_done(self, what: str, deadline: Seconds, **more: Any) -> None:
        while True:
            try:
                self._work(what, deadline, **more)
            except (PosthouseError, OSError) as error:
                self._failed("taken", error)
                self._pause(_AGAIN)
            else:
                self.fault = None
                return

    def _failed(self, what: str, error: PosthouseError | OSError) -> None:
        if str(error) != str(self.fault):
            log.error("group %s cannot be %s, it is tried again: %s", self.group.name, what, error)
        self.fault = error

    def _work(self, what: str, deadline: Seconds, **more: Any) -> None:
        """Run one job to its end; raise what it raised, or Interrupted."""
        self._finish(self._begin(what, deadline, **more))

    def _begin(self, what: str, deadline: Seconds, **more: Any) -> Job:
        """Begin the one job that is under way; raise OSError or Interrupted."""
        request = {
            "do": what,
            "group": self.group.model_dump_json(),
            "node": self._node,
            "epoch": self._key_epoch,
            "owner_epoch": self._owner_epoch,
            **more,
        }
        with self._lock:
            if self._interrupted.is_set():
                raise Interrupted
            job = self._job = self._forks.start(request, deadline)
        return job

    def _finish(self, job: Job) -> None:
        """Wait for its end; raise what it raised, or Interrupted."""
        try:
            job.wait()
        finally:
            with self._lock:
                self._job = None
                interrupted = self._interrupted.is_set()
            if interrupted:
                raise Interrupted

    def _pause(self, seconds: Seconds) -> None:
        if self._interrupted.wait(seconds):
            raise Interrupted

    def _say_unless_interrupted(self, word: Word) -> None:
        if self._interrupted.is_set():
            raise Interrupted
        self._say(word)


def wake_agent() -> None:
    """Ring the agent's bell; a ring that nobody hears costs at most its tick."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bell:
        bell.sendto(b"", str(paths.RUN / "agent.wake"))
