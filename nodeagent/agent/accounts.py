"""Follows the directory, so that a changed or disabled account counts everywhere within a second.

Dovecot caches who may log in. When an account changes, its line in the cache is
forgotten; when it may no longer log in, its open sessions end too. Whether it may
is asked of Dovecot itself (`doveadm auth lookup`), not decided here a second time.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Iterable, Iterator

from appliance import paths
from appliance.cluster.names import EngineName, InstanceId, Seconds
from appliance.directory.changes import Changed, ChangeFollower
from appliance.directory.connection import DirectoryConnection
from appliance.errors import Unavailable
from nodeagent.ownership.memory import marked

log = logging.getLogger("posthouse.agent")

_EVERY = Seconds(0.5)
_RETRY = Seconds(2.0)
_DEADLINE = Seconds(5.0)
_DOVECOT = EngineName("dovecot")
#: doveadm auth lookup: the user does not exist, or may not log in (sysexits EX_NOUSER).
_NO_USER = 67
#: More names than this at once, and the whole cache is forgotten.
_MOST_NAMES = 200


class AccountFollower(threading.Thread):
    """One thread; a directory or a Dovecot that is away is tried again."""

    def __init__(self) -> None:
        super().__init__(name="account-follower", daemon=True)
        self._ended = threading.Event()

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
            if changed:
                for instance in _dovecots():
                    _forget(instance, changed)
                    _end_sessions(instance, changed)
            self._ended.wait(_EVERY)


def _dovecots() -> Iterator[InstanceId]:
    for group in sorted(marked()):
        instance = InstanceId(_DOVECOT, group)
        if (paths.run(instance) / "master.pid").exists():
            yield instance


def _forget(instance: InstanceId, changed: Changed) -> None:
    """Drop cached logins: one by one, or all when a domain or very much changed."""
    few = not changed.everything and not changed.domains and len(changed.names) <= _MOST_NAMES
    _doveadm(instance, "auth", "cache", "flush", *(sorted(changed.names) if few else ()))


def _end_sessions(instance: InstanceId, changed: Changed) -> None:
    """Kick whoever is connected, is among the changed, and may no longer log in."""
    for user in concerned(_connected(instance), changed):
        if _doveadm(instance, "auth", "lookup", user).returncode == _NO_USER:
            log.info("%s: %s may no longer log in; its sessions are ended", instance, user)
            _doveadm(instance, "kick", user)


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


def _doveadm(instance: InstanceId, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["doveadm", "-c", str(paths.config(instance) / "dovecot.conf"), *words]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_DEADLINE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s: doveadm %s: %s", instance, words[0], error)
        return subprocess.CompletedProcess(command, 1, "", str(error))
