"""Keeps Postfix's copy of the domain names (appliance.engines.postfix.domain_copy) like the directory's.

Made anew within seconds when a domain changed or may be gone, and every minute.
"""

from __future__ import annotations

import logging
import math
import subprocess
import threading
import time
from collections.abc import Iterator

from appliance import paths
from appliance.cluster.names import EngineName, InstanceId, Seconds
from appliance.directory.changes import ChangeFollower
from appliance.directory.connection import DirectoryConnection
from appliance.engines.postfix import domain_copy
from appliance.errors import PosthouseError, Unavailable
from nodeagent.ownership.memory import marked

log = logging.getLogger("posthouse.agent")

_EVERY = Seconds(1.0)
_AGAIN = Seconds(60.0)
#: Changes of domains are taken together for so long, and others, which may hide a deletion.
_AFTER_CHANGE = Seconds(3.0)
_AFTER_ANYTHING = Seconds(10.0)
_DEADLINE = Seconds(5.0)
_POSTFIX = EngineName("postfix")


class DomainFollower(threading.Thread):
    """One thread; a directory that is away is tried again."""

    def __init__(self) -> None:
        super().__init__(name="domain-follower", daemon=True)
        self._ended = threading.Event()
        self._last = -math.inf

    def end(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                with DirectoryConnection() as connection:
                    self._follow(connection)
            except Unavailable as error:
                log.debug("the directory is away: %s", error)
            except PosthouseError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("following domains failed; trying again")
            self._ended.wait(_AFTER_CHANGE)

    def _follow(self, connection: DirectoryConnection) -> None:
        follower, due = ChangeFollower(connection), time.monotonic()
        while not self._ended.is_set():
            changed = follower.poll()
            if changed.domains or changed.everything:
                # now, unless that was a moment ago
                due = min(due, self._last + _AFTER_CHANGE)
            elif changed.moved:
                # perhaps a domain is gone: that leaves nothing to read
                due = min(due, self._last + _AFTER_ANYTHING)
            if time.monotonic() >= due or self._missing():
                self._write(domain_copy.names(connection))
                self._last = time.monotonic()
                due = self._last + _AGAIN
            self._ended.wait(_EVERY)

    def _missing(self) -> bool:
        """A Postfix is new here, or its copy is gone."""
        return any(domain_copy.read(instance) is None for instance in _postfixes())

    def _write(self, names: frozenset[str]) -> None:
        for instance in _postfixes():
            if domain_copy.read(instance) != names:
                domain_copy.write(instance, names)
                _reload(instance)


def _reload(instance: InstanceId) -> None:
    """Let go of what smtpd processes remember: to each a domain stays foreign that was foreign when it asked."""
    try:
        subprocess.run(["systemctl", "--no-block", "reload", instance.unit], check=True, timeout=_DEADLINE)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s: %s", instance, error)


def _postfixes() -> Iterator[InstanceId]:
    for group in sorted(marked()):
        instance = InstanceId(_POSTFIX, group)
        if paths.run(instance).is_dir():
            yield instance
