"""Keeps the engines' copies of what the directory says of domains: Postfix's names, Dovecot's fields.

Made anew within seconds when a domain changed or may be gone, and every minute; also for
groups that this node only stands by for, so that they begin with all of it.
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
from appliance.directory import schema
from appliance.directory.changes import ChangeFollower
from appliance.directory.connection import DirectoryConnection, Entry, Scope
from appliance.directory.rules import setting_texts
from appliance.engines import topology
from appliance.engines.dovecot import domain_fields
from appliance.engines.postfix import domain_copy
from appliance.errors import PosthouseError, Unavailable
from nodeagent.agent import markers

log = logging.getLogger("posthouse.agent")

_EVERY = Seconds(2.0)
_AGAIN = Seconds(60.0)
#: Changes of domains are taken together for so long, and others, which may hide a deletion.
_AFTER_CHANGE = Seconds(3.0)
_AFTER_ANYTHING = Seconds(10.0)
_DEADLINE = Seconds(5.0)
_POSTFIX, _DOVECOT = EngineName("postfix"), EngineName("dovecot")


class DomainFollower(threading.Thread):
    """One thread; a directory that is away is tried again."""

    def __init__(self) -> None:
        super().__init__(name="domain-follower", daemon=True)
        self._ended = threading.Event()
        self._last = -math.inf
        self._untold: set[InstanceId] = set()
        self._failing: set[InstanceId] = set()

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
            if time.monotonic() >= due or _outdated():
                for instance in _write(_domains(connection)):
                    self.owe({instance})
                self._last = time.monotonic()
                due = self._last + _AGAIN
            self.tell()
            self._ended.wait(_EVERY)

    def owe(self, instances: set[InstanceId]) -> None:
        """These are still to be told."""
        self._untold |= instances

    def tell(self) -> None:
        """Tell the engines whose copy is new; whoever could not be told is told the next time."""
        active = markers.active()
        for instance in sorted(self._untold):
            if instance.group not in active or _told(instance, quiet=instance in self._failing):
                self._untold.discard(instance)
                self._failing.discard(instance)
            else:
                self._failing.add(instance)


def _outdated() -> bool:
    """An engine is new here, or was told another default."""
    return any(domain_copy.read(each) is None for each in _configured(_POSTFIX)) or any(
        domain_fields.outdated(each) for each in _configured(_DOVECOT)
    )


def _domains(connection: DirectoryConnection) -> list[Entry]:
    """All domains and domain aliases."""
    wanted = f"(|(objectClass={schema.DOMAIN})(objectClass={schema.DOMAIN_ALIAS}))"
    attributes = (schema.ASSOCIATED_DOMAIN, schema.DOMAIN_NAME, schema.SETTING)
    pages = connection.pages(schema.DOMAINS, wanted, Scope.CHILDREN, attributes)
    return [entry for page in pages for entry in page]


def _write(domains: list[Entry]) -> Iterator[InstanceId]:
    """Write the copies that differ; yield whose it was after each."""
    names = frozenset(
        name.lower()
        for entry in domains
        for name in (*entry.texts(schema.ASSOCIATED_DOMAIN), *entry.texts(schema.DOMAIN_NAME))
    )
    for instance in _configured(_POSTFIX):
        if domain_copy.read(instance) != names:
            domain_copy.write(instance, names)
            yield instance
    settings = [(entry.text(schema.ASSOCIATED_DOMAIN) or "", setting_texts(entry)) for entry in domains]
    yield from (each for each in _configured(_DOVECOT) if domain_fields.write(each, settings))


def _told(instance: InstanceId, *, quiet: bool) -> bool:
    """Let an engine forget what it knew of domains; whether that went well. `quiet`: its failing is known."""
    if instance.engine == _POSTFIX:
        # To each smtpd a domain stays foreign that was foreign when it asked.
        command = ["systemctl", "--no-block", "reload", instance.unit]
    else:
        command = ["doveadm", "-c", str(paths.config(instance) / "dovecot.conf"), "auth", "cache", "flush"]
    try:
        subprocess.run(command, check=True, timeout=_DEADLINE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        if not quiet:
            log.warning("%s is not told of changed domains yet; it is tried again: %s", instance, error)
        return False
    return True


def _configured(engine: EngineName) -> Iterator[InstanceId]:
    """The instances that run here or might at once: configured, with a folder for sockets and copies. An edge keeps
    no mailboxes and knows no domain."""
    for folder in sorted(paths.ENGINES.glob(f"{engine}@*")):
        instance = InstanceId.parse(folder.name)
        if instance != topology.EDGE and paths.run(instance).is_dir() and paths.config(instance).is_dir():
            yield instance
