"""Mail that waits for another group, or for a mailbox on the move, is tried as soon as it can arrive.

Postfix would come back to it after minutes, as to any server of the Internet that did not answer. A message counts
when its last attempt failed at the other group's intake (docs/developers/mail-topology.md); what the group itself
refused for now waits its turn, unless it says that the mailbox went elsewhere meanwhile. What waits for a mailbox whose
entry in the directory was just changed is tried as well: a move puts deliveries off and ends with such a change.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from appliance import paths
from appliance.cluster.names import EngineName, InstanceId, Seconds
from appliance.engines import topology
from appliance.engines.postfix.other_groups import NOT_HERE, TRANSPORTS
from nodeagent.agent import markers

log = logging.getLogger("posthouse.agent")

_EVERY = Seconds(2.0)
#: A look at a long queue takes time: so many times as much passes before the next, or fewer while mail may just have
#: become deliverable.
_REST = 20
_REST_AFTER_CHANGE = 4
_DEADLINE = Seconds(30.0)
_CONNECT = Seconds(1.0)
#: So long after a change its mail is looked for, and so often: what was under way then is put off a moment later, and
#: Postfix's queue manager remembers the last address that it asked about for 30 s (resolve_clnt(3)).
_CHANGED = Seconds(45.0)
_LOOKS = 4
#: More changed mailboxes than this at once are not looked for.
_MOST_NAMES = 1000
#: More at once are left to the next look.
_MOST = 500
_POSTFIX = EngineName("postfix")
_FAILED = re.compile(
    rf"connect to [^ ]*\[(?P<to>[0-9a-f.:]+)\]:{topology.INTAKE}: "
    r"|(?:lost connection with|conversation with|host) [^ ]*\[(?P<of>[0-9a-f.:]+)\]"
    rf"(?: while | timed out | said: {re.escape(NOT_HERE)})"
)


class HandOverFollower(threading.Thread):
    """One thread. A group alone has no intake to wait for, and costs a look at a file."""

    def __init__(self) -> None:
        super().__init__(name="hand-over-follower", daemon=True)
        self._ended = threading.Event()
        #: Addresses of mailboxes that were changed: until when (monotonic seconds) and how often yet their mail is
        #: looked for, at least.
        self._changed: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def end(self) -> None:
        self._ended.set()

    def changed(self, names: Collection[str]) -> None:
        """These mailboxes were changed in the directory; from any thread."""
        until = time.monotonic() + _CHANGED
        with self._lock:
            self._changed.update(dict.fromkeys(map(str.lower, names), (until, _LOOKS)))
            if len(self._changed) > _MOST_NAMES:
                self._changed.clear()

    def _changed_lately(self) -> frozenset[str]:
        now = time.monotonic()
        with self._lock:
            due = {name: each for name, each in self._changed.items() if now < each[0] or each[1] > 0}
            self._changed = {name: (until, looks - 1) for name, (until, looks) in due.items()}
            return frozenset(due)

    def run(self) -> None:
        pause = float(_EVERY)
        while not self._ended.wait(pause):
            begun, changed = time.monotonic(), self._changed_lately()
            for instance in _with_others():
                try:
                    _try_again(instance, changed)
                except (OSError, subprocess.SubprocessError, ValueError) as error:
                    log.warning("%s: what waits for other groups was not looked at: %s", instance, error)
                except Exception:
                    log.exception("%s: looking at what waits for other groups failed", instance)
            pause = max(_EVERY, (time.monotonic() - begun) * (_REST_AFTER_CHANGE if changed else _REST))


def waiting(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Queue id and address of the group for each message in the output of `postqueue -j` whose last attempt failed at
    an intake. Pure."""
    for line in lines:
        told = json.loads(line)
        if told["queue_name"] != "deferred":
            continue
        for recipient in told["recipients"]:
            found = _FAILED.search(recipient.get("delay_reason") or "")
            if found:
                yield told["queue_id"], found["to"] or found["of"]
                break


def put_off(lines: Iterable[str], names: Collection[str]) -> Iterator[str]:
    """Queue id of each message in the output of `postqueue -j` that waits for one of these addresses. Pure."""
    for line in lines:
        told = json.loads(line)
        if told["queue_name"] == "deferred" and any(each["address"].lower() in names for each in told["recipients"]):
            yield told["queue_id"]


def _with_others() -> list[InstanceId]:
    """The Postfix instances here that know of other groups, and have deferred mail."""
    instances = (InstanceId(_POSTFIX, group) for group in sorted(markers.active()))
    return [each for each in instances if (paths.config(each) / TRANSPORTS).exists() and _defers(each)]


def _defers(instance: InstanceId) -> bool:
    """Whether anything is in the deferred queue, which is two folders deep (postconf(5), hash_queue_names)."""
    queue = paths.volume(instance.group) / "postfix/spool/deferred"
    return any(True for shelf in _entries(queue) for _ in _entries(shelf))


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except OSError:
        return


def _try_again(instance: InstanceId, changed: Collection[str]) -> None:
    config = str(paths.config(instance))
    known = (paths.config(instance) / TRANSPORTS).read_text()
    queue = _run("postqueue", "-c", config, "-j")
    lines = [line for line in queue.split("\n") if line]
    found = [(queue_id, address) for queue_id, address in waiting(lines) if address in known]
    answers = {address: _answers(address) for address in {address for _, address in found}}
    back = [queue_id for queue_id, address in found if answers[address]]
    ready = list(dict.fromkeys([*back, *(put_off(lines, changed) if changed else ())]))[:_MOST]
    if ready:
        log.info("%s: %d messages that can arrive by now are tried", instance, len(ready))
    for queue_id in ready:
        _run("postqueue", "-c", config, "-i", queue_id)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, topology.INTAKE), timeout=_CONNECT) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_DEADLINE,
        check=True,
    )
    return done.stdout
