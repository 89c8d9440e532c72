"""One mailbox's migration from beginning to end, for each kind of source; several at once.

A job never raises: whatever stops it stands in its report, and the other jobs go on.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from appliance.cluster.report import Notice
from appliance.directory.model import Mailbox
from appliance.directory.service import DirectoryService
from appliance.errors import PosthouseError
from appliance.migration.mail import imap, maildir, mbox, names
from appliance.migration.mail.delivery import Progress, deliver
from appliance.migration.mail.dovecot import AGAIN, Dovecot, complaint
from appliance.migration.mail.ledger import Ledger
from appliance.migration.mail.mirror import Login, Server, imap_configuration
from appliance.migration.mail.names import Folder
from appliance.migration.mail.report import Delivered, MailboxReport
from appliance.migration.mail.staging import Part, parts_of
from appliance.migration.mail.workplace import Workplace
from appliance.settings.units import about_size

_ATTEMPTS = 3
_TICK = 1.0
#: What dsync says when the source's inbox is not the one it was (its UIDVALIDITY changed): the mirror is made anew.
_ANOTHER_INBOX = "INBOX can't be deleted"


@dataclass(frozen=True)
class Tools:
    """What a job works with."""

    workplace: Workplace
    dovecot: Dovecot
    ledger: Ledger
    progress: Progress

    def deliver(self, parts: Sequence[Part], subscribed: frozenset[Folder] | None) -> Delivered:
        """Bring what is new of `parts`."""
        stage = self.workplace.stage
        return deliver(parts, subscribed, dovecot=self.dovecot, stage=stage, ledger=self.ledger, progress=self.progress)


class Source(Protocol):
    """Where mail comes from."""

    @property
    def shown(self) -> str:
        """Its name in reports."""

    def bring(self, tools: Tools) -> Delivered:
        """Bring what is new. Raises PosthouseError and OSError."""


@dataclass(frozen=True)
class MaildirSource:
    """A Maildir with its folders. `path` is resolved and checked."""

    path: Path
    exclude: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return str(self.path)

    def bring(self, tools: Tools) -> Delivered:
        tree = maildir.scan(self.path)
        if not tree.folders:
            raise PosthouseError("migrate-no-maildir", path=str(self.path))
        parts = [
            part for part in parts_of(tree, f"maildir:{self.path}") if not names.matches(part.folder, self.exclude)
        ]
        done = tools.deliver(parts, tree.subscribed)
        return Delivered(done.folders, [*tree.problems, *done.problems], [*tree.notes, *done.notes])


@dataclass(frozen=True)
class MboxSource:
    """An mbox file, which becomes `folder`, or a folder of mbox files."""

    path: Path
    folder: Folder | None = None
    exclude: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return str(self.path)

    def bring(self, tools: Tools) -> Delivered:
        found = mbox.find(self.path, self.folder)
        wanted = [each for each in found.files if not names.matches(each.folder, self.exclude)]
        scratch = tools.workplace.scratch("mbox")
        try:
            # A copy, and what becomes of it, besides what delivery needs.
            tools.workplace.require_space(3 * sum(each.size for each in wanted))
            tools.progress("migrate-progress-converting", {"count": len(wanted)})
            parts, problems = mbox.convert(wanted, scratch, tools.workplace.owner, tools.dovecot)
            done = tools.deliver(parts, None)
        finally:
            tools.workplace.discard("mbox")
        return Delivered(done.folders, [*found.problems, *problems, *done.problems], [*found.notes, *done.notes])


@dataclass(frozen=True)
class ImapSource:
    """A mailbox on another IMAP server."""

    server: Server
    login: Login = field(repr=False)
    exclude: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return f"{self.login.user} @ {self.server.host}"

    def bring(self, tools: Tools) -> Delivered:
        """Mirror, deliver, and compare; again while the source changes meanwhile."""
        identity = f"imap:{self.server.host}:{self.login.user}"
        location = tools.workplace.mirror(identity) / "Maildir"
        tools.progress("migrate-progress-signing-in", {"server": self.server.host})
        there = imap.look(self.server, self.login)
        brought = Delivered()
        for _ in range(_ATTEMPTS):
            complaints = self._mirror(location, there, tools)
            tree = maildir.scan(location, escaped=True)
            parts = [part for part in parts_of(tree, identity, link=True) if not _only_a_branch(part.folder, there)]
            done = tools.deliver(parts, tree.subscribed)
            brought = brought.add(done)
            brought.problems += complaints
            there = imap.look(self.server, self.login)
            differing = self._differing(there, brought)
            if not differing:
                return brought
        brought.problems += differing
        return brought

    def _mirror(self, location: Path, there: imap.There, tools: Tools) -> list[Notice]:
        """Let Dovecot fetch what is new there. Raises PosthouseError when that fails; what came is kept."""
        _forget_percent_folders(location)
        exclude = [pattern for name in self.exclude for pattern in (name, f"{name}/*")]
        exclude += [f"{prefix}*" for prefix in there.elsewhere]
        text = imap_configuration(location, self.server, self.login, there.prefix)
        wanted = sum(count for folder, count in there.messages.items() if not names.matches(folder, self.exclude))
        with tools.dovecot.configuration(text) as config, _watching(location, wanted, tools.progress):
            done = tools.dovecot.mirror("imapc:", config, exclude)
            if any(_ANOTHER_INBOX in problem for problem in done.problems):
                shutil.rmtree(location)
                done = tools.dovecot.mirror("imapc:", config, exclude)
        if done.status not in (0, AGAIN):
            details = "; ".join(done.problems) or f"exit {done.status}"
            raise PosthouseError("migrate-fetching-failed", server=self.server.host, detail=details)
        return complaint(done, self.server.host)

    def _differing(self, there: imap.There, brought: Delivered) -> list[Notice]:
        """Folders that have another number of messages there than came here."""
        fetched = {each.folder: each.source for each in brought.folders}
        notices = []
        for folder, count in there.messages.items():
            name = names.shown(folder)
            if not names.matches(folder, self.exclude) and fetched.get(name, 0) != count:
                facts: dict[str, str | int | float] = {"folder": name, "there": count, "fetched": fetched.get(name, 0)}
                notices.append(Notice(key="migrate-count-differs", facts=facts))
        return notices


def _only_a_branch(folder: Folder, there: imap.There) -> bool:
    """True for a name that only has folders below it there, and can hold no messages; dsync makes a folder of it."""
    below = any(each[: len(folder)] == folder for each in there.messages if len(each) > len(folder))
    return bool(folder) and below and folder not in there.messages


def _forget_percent_folders(location: Path) -> None:
    """Drop the mirrors of folders with a percent sign in their names, to be fetched anew.

    dsync 2.3 escapes with it, takes such a mirror for a renamed folder, and would never bring it up to date.
    """
    for path in location.glob(".*%*"):
        shutil.rmtree(path)


@contextmanager
def _watching(location: Path, wanted: int, progress: Progress) -> Iterator[None]:
    """Show how many messages have come while Dovecot fetches them."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_TICK):
            progress("migrate-progress-fetching", {"count": _messages_in(location), "wanted": wanted})

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _messages_in(location: Path) -> int:
    count = 0
    for place in (location / "cur", *location.glob(".*/cur")):
        try:
            with os.scandir(place) as entries:
                count += sum(1 for _ in entries)
        except FileNotFoundError:
            continue
    return count


@dataclass(frozen=True)
class Job:
    """A mailbox that was found in the directory, and its source."""

    mailbox: Mailbox
    source: Source


def run(job: Job, progress: Progress) -> MailboxReport:
    """Do the job; what stopped it stands in the report."""
    began = time.monotonic()
    address, shown = job.mailbox.address, job.source.shown
    try:
        with Workplace(job.mailbox) as workplace, Ledger(workplace.ledger) as ledger:
            dovecot = Dovecot(address, workplace.group, workplace.children)
            dovecot.require_running()
            done = job.source.bring(Tools(workplace, dovecot, ledger, progress))
            _recount(dovecot, done)
            done.notes += _over_quota(dovecot)
            report = MailboxReport(
                address,
                shown,
                tuple(done.folders),
                round(time.monotonic() - began, 1),
                tuple(done.problems),
                tuple(done.notes),
            )
            workplace.note(report)
            return report
    except PosthouseError as error:
        problem = Notice.of(error)
    except OSError as error:
        facts: dict[str, str | int | float] = {"path": str(error.filename or shown), "detail": error.strerror or ""}
        problem = Notice(key="migrate-source-unreadable", facts=facts)
    return MailboxReport(address, shown, seconds=round(time.monotonic() - began, 1), problems=(problem,))


def refused(address: str, source: Source, problem: PosthouseError, line: int | None = None) -> MailboxReport:
    """The report of a mailbox that could not even be begun; `line` of the list that names it."""
    notice = Notice.of(problem)
    if line is not None:
        notice = Notice(key="migrate-list-line", facts={"line": line, "reason": str(problem)})
    return MailboxReport(address, source.shown, problems=(notice,))


def run_all(jobs: Sequence[Job], parallel: int, progress: Callable[[Job], Progress]) -> Iterator[MailboxReport]:
    """Do all jobs, so many at once; yield reports as they come."""
    with ThreadPoolExecutor(parallel, thread_name_prefix="migrate") as pool:
        futures = [pool.submit(run, job, progress(job)) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _recount(dovecot: Dovecot, done: Delivered) -> None:
    """Count what is in the mailbox, and let the mail flow ask whether it is full: no delivery has shown that."""
    done.notes += complaint(dovecot.recount(), "quota recalc")
    with DirectoryService.connect() as directory:
        directory.mailboxes.note_unknown_usage(dovecot.address)


def _over_quota(dovecot: Dovecot) -> list[Notice]:
    quota = dovecot.quota()
    if quota is None or quota[0] <= quota[1]:
        return []
    used, limit = quota
    return [Notice(key="migrate-over-quota", facts={"used": about_size(used), "limit": about_size(limit)})]
