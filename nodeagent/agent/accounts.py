"""Follows the directory, so that a changed or disabled account counts everywhere within a second.

Dovecot caches who may log in. When an account changes, its line in the cache is
forgotten; when it may no longer log in, its open sessions end too. Whether it may
is asked of Dovecot itself (`doveadm auth lookup`), not decided here a second time.

A change is owed to each Dovecot until every doveadm command about it ended well; one
that fails or takes too long is tried again with growing pauses.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from appliance import paths
from appliance.cluster.names import EngineName, InstanceId, Seconds
from appliance.directory.changes import EVERYTHING, Changed, ChangeFollower
from appliance.directory.connection import DirectoryConnection
from appliance.errors import PosthouseError, Unavailable
from nodeagent.agent import markers

log = logging.getLogger("posthouse.agent")

_EVERY = Seconds(0.5)
_RETRY = Seconds(2.0)
_DEADLINE = Seconds(5.0)
_DOVECOT = EngineName("dovecot")
#: doveadm auth lookup: the user does not exist, or may not log in (sysexits EX_NOUSER).
_NO_USER = 67
#: doveadm kick: nobody was connected any more (DOVEADM_EX_NOTFOUND).
_NOBODY = 68
#: More names than this at once, and the whole cache is forgotten.
_MOST_NAMES = 200
#: More owed names or domains than this are remembered as "everything".
_MOST_OWED = 1000
_PAUSE_FIRST = Seconds(1.0)
_PAUSE_MOST = Seconds(30.0)


class DoveadmFailed(PosthouseError):
    """A doveadm command did not end well; what it was for is still to be done."""

    def __init__(self, instance: InstanceId, command: str, detail: str) -> None:
        super().__init__("program-failed", program=f"{instance}: doveadm {command}", detail=detail)


@dataclass(frozen=True)
class Debt:
    """What a Dovecot has not been told yet, and when to try again (monotonic seconds)."""

    changed: Changed
    attempts: int = 0
    not_before: float = 0.0

    def plus(self, more: Changed) -> Debt:
        """With a newer change; it is tried at once."""
        return Debt(together(self.changed, more), self.attempts)

    def after_failure(self, now: float) -> Debt:
        """The pause doubles up to its bound."""
        pause = min(_PAUSE_MOST, _PAUSE_FIRST * 2 ** min(self.attempts, 16))
        return Debt(self.changed, self.attempts + 1, now + pause)


def together(one: Changed, other: Changed) -> Changed:
    """Two changes as one, within bounds. Pure."""
    names, domains = one.names | other.names, one.domains | other.domains
    if one.everything or other.everything or len(names) + len(domains) > _MOST_OWED:
        return EVERYTHING
    return Changed(names=names, domains=domains)


class Debts:
    """Every Dovecot's debt. A Dovecot that does not run is owed nothing: a new one knows nothing."""

    def __init__(self) -> None:
        self._owed: dict[InstanceId, Debt] = {}

    def note(self, changed: Changed, running: Iterable[InstanceId]) -> None:
        """Owe a change to everybody who runs."""
        for instance in running:
            self._owed[instance] = self._owed.get(instance, Debt(Changed())).plus(changed)

    def settle(self, running: Iterable[InstanceId]) -> None:
        """Tell whoever's turn it is."""
        running = set(running)
        for instance, debt in list(self._owed.items()):
            if instance not in running:
                del self._owed[instance]
            elif time.monotonic() >= debt.not_before:
                self._tell(instance, debt)

    def _tell(self, instance: InstanceId, debt: Debt) -> None:
        try:
            _forget(instance, debt.changed)
            _end_sessions(instance, debt.changed)
        except DoveadmFailed as error:
            log.warning("changed accounts are not told to %s yet; it is tried again: %s", instance, error)
            self._owed[instance] = debt.after_failure(time.monotonic())
        else:
            del self._owed[instance]


class AccountFollower(threading.Thread):
    """One thread; a directory or a Dovecot that is away is tried again. `told` hears which login names changed."""

    def __init__(self, told: Callable[[Collection[str]], None] = lambda _: None) -> None:
        super().__init__(name="account-follower", daemon=True)
        self._ended = threading.Event()
        self._debts = Debts()
        self._told = told

    def end(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                with DirectoryConnection() as connection:
                    self._follow(ChangeFollower(connection))
            except Unavailable as error:
                log.debug("the directory is away: %s", error)
            except Exception:
                log.exception("following accounts failed; trying again")
            self._ended.wait(_RETRY)

    def _follow(self, follower: ChangeFollower) -> None:
        while not self._ended.is_set():
            changed = follower.poll()
            running = _dovecots()
            if changed:
                self._debts.note(changed, running)
                self._told(changed.names)
            self._debts.settle(running)
            self._ended.wait(_EVERY)


def _dovecots() -> tuple[InstanceId, ...]:
    instances = (InstanceId(_DOVECOT, group) for group in sorted(markers.active()))
    return tuple(instance for instance in instances if (paths.run(instance) / "master.pid").exists())


def _forget(instance: InstanceId, changed: Changed) -> None:
    """Drop cached logins: one by one, or all when a domain or very much changed."""
    few = not changed.everything and not changed.domains and len(changed.names) <= _MOST_NAMES
    _doveadm(instance, "auth", "cache", "flush", *(sorted(changed.names) if few else ()))


def _end_sessions(instance: InstanceId, changed: Changed) -> None:
    """Kick whoever is connected, is among the changed, and may no longer log in."""
    for user in concerned(_connected(instance), changed):
        if _doveadm(instance, "auth", "lookup", user, accept=(0, _NO_USER)).returncode == _NO_USER:
            log.info("%s: %s may no longer log in; its sessions are ended", instance, user)
            _doveadm(instance, "kick", user, accept=(0, _NOBODY))


def concerned(connected: Iterable[str], changed: Changed) -> list[str]:
    """Which of the connected users a change is about; all when nobody knows what changed. Pure."""
    if changed.everything:
        return sorted(set(connected))
    return sorted(
        user for user in set(connected) if user in changed.names or user.rpartition("@")[2] in changed.domains
    )


def _connected(instance: InstanceId) -> list[str]:
    lines = _doveadm(instance, "-f", "tab", "who").stdout.splitlines()[1:]
    return [line.split("\t")[0] for line in lines if line]


def _doveadm(instance: InstanceId, *words: str, accept: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Run doveadm; raise DoveadmFailed when it takes too long or its exit status is not one to `accept`."""
    command = ["doveadm", "-c", str(paths.config(instance) / "dovecot.conf"), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_DEADLINE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DoveadmFailed(instance, words[0], str(error)) from error
    if done.returncode not in accept:
        raise DoveadmFailed(instance, words[0], done.stderr.strip()[-300:] or f"exit status {done.returncode}")
    return done
