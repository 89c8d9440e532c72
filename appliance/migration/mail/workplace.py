"""Where one mailbox's migration keeps its things: a folder on the volume, locked while a run is at work.

VOLUME/migration/ID/ledger.sqlite   what was brought (root)
                   /stage/          messages waiting for Dovecot (vmail), during a run
                   /mirror-KEY/     copy of another server's mailbox (vmail), until it is cleaned
                   /mbox/           copy of mbox files (vmail), during a run
                   /run.json        when and how the last run ended
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance import durable_files, paths
from appliance.cluster.names import GroupName
from appliance.directory.model import Mailbox
from appliance.errors import Unavailable
from appliance.migration.mail.processes import Children
from appliance.migration.mail.report import MailboxReport
from appliance.migration.mail.stage import Stage, require_space

OWNER = "vmail"
#: A run that was just killed may hold the lock for a moment yet.
_LOCK_WITHIN = 3.0
_LOCK_POLL = 0.05


def root(group: GroupName) -> Path:
    """The folder of all migrations of a group."""
    return paths.volume(group) / "migration"


@contextmanager
def locked(folder: Path, address: str) -> Iterator[None]:
    """Hold the lock of a mailbox's folder. Raises Unavailable when somebody has it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + _LOCK_WITHIN
        while not _try_lock(lock):
            if time.monotonic() > until:
                raise Unavailable("migrate-busy", address=address)
            time.sleep(_LOCK_POLL)
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Workplace:
    """The folder of one mailbox; a context manager that holds its lock. Raises Unavailable when another run has it."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.group = GroupName(mailbox.group)
        self.folder = root(self.group) / mailbox.id
        self.ledger = self.folder / "ledger.sqlite"
        self.children = Children(self.folder / "child.json")

    def __enter__(self) -> Self:
        if not paths.owned_marker(self.group).exists():
            raise Unavailable("migrate-group-not-here", group=self.group)
        self.owner = durable_files.user_id(OWNER), durable_files.group_id(OWNER)
        for folder in (self.folder.parent, self.folder):
            folder.mkdir(mode=0o750, exist_ok=True)
            os.chown(folder, 0, self.owner[1])
        with ExitStack() as held:
            held.enter_context(locked(self.folder, self.mailbox.address))
            self.children.end_orphan()
            self._held = held.pop_all()
        self.stage = Stage(self.folder / "stage", self.owner)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def mirror(self, source: str) -> Path:
        """The folder for the mirror of a source, made when it is missing."""
        path = self.folder / f"mirror-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
        if not path.exists():
            path.mkdir(mode=0o700)
            os.chown(path, *self.owner)
        return path

    def scratch(self, name: str) -> Path:
        """An empty folder that the account that owns mail may enter; what lies in it is root's to place."""
        path = self.folder / name
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(mode=0o750)
        os.chown(path, 0, self.owner[1])
        return path

    def discard(self, name: str) -> None:
        """Remove what `scratch` made."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def require_space(self, size: int) -> None:
        """Raise Unavailable unless the volume has room for `size` bytes more."""
        require_space(self.folder, size)

    def note(self, report: MailboxReport) -> None:
        """Keep how the run ended, for `posthouse migrate status`."""
        facts = {
            "address": report.address,
            "source": report.source,
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "messages": sum(folder.source for folder in report.folders),
            "complete": report.ok,
        }
        durable_files.replace(self.folder / "run.json", json.dumps(facts, ensure_ascii=False).encode("utf-8"), 0o600)
