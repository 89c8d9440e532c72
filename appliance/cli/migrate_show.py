"""How `posthouse migrate` shows its work: a line that changes on a terminal, and reports at the end."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import click

from appliance.cli.output import Column, printable, table, width
from appliance.cluster.report import Notice
from appliance.i18n import translate
from appliance.migration.accounts.outcome import told
from appliance.migration.mail.delivery import Progress
from appliance.migration.mail.jobs import Job
from appliance.migration.mail.report import MailboxReport
from appliance.settings.units import about_size

_EVERY = 0.2


class Screen:
    """One line on standard error that says what is going on; nothing where that is no terminal."""

    def __init__(self, quiet: bool) -> None:
        self._alive = not quiet and sys.stderr.isatty()
        self._lock = threading.Lock()
        self._next = 0.0
        self._ended = 0
        self._jobs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("")

    def show(self, key: str, facts: dict[str, Any]) -> None:
        """Show a text, unless another was shown a moment ago."""
        now = time.monotonic()
        with self._lock:
            if not self._alive or now < self._next:
                return
            self._next = now + _EVERY
        self._write(_text(key, facts))

    def progress(self, count: int) -> Callable[[Job], Progress]:
        """Progress of one of `count` jobs."""
        self._jobs = count

        def of(job: Job) -> Progress:
            def progress(key: str, facts: dict[str, str | int]) -> None:
                if not self._alive:
                    return
                doing: dict[str, Any] = {"address": job.mailbox.address, "text": _text(key, facts)}
                if count == 1:
                    self.show("migrate-progress-one", doing)
                else:
                    self.show("migrate-progress-many", {"ended": self._ended, "count": count, **doing})

            return progress

        return of

    def finished(self, report: MailboxReport) -> None:
        """Say that one of many mailboxes is done."""
        self._ended += 1
        if self._alive and self._jobs > 1:
            self._write("")
            click.echo(summary(report), err=True)

    def _write(self, text: str) -> None:
        if self._alive:
            room = shutil.get_terminal_size().columns - 1
            shown = printable(text)
            while width(shown) > room:
                shown = shown[:-1]
            click.echo(f"\r\033[K{shown}", nl=False, err=True)


def _text(key: str, facts: Mapping[str, Any]) -> str:
    return translate(key, **facts)


def summary(report: MailboxReport) -> str:
    """One line on a mailbox."""
    key = "migrate-mailbox-complete" if report.ok else "migrate-mailbox-incomplete"
    return translate(
        key,
        address=report.address,
        folders=len(report.folders),
        messages=report.messages,
        size=about_size(report.bytes),
        seconds=round(report.seconds),
        problems=len(report.problems),
    )


def mailbox_lines(reports: Sequence[MailboxReport]) -> Iterator[str]:
    """The report for people: of one mailbox with its folders, of many a line each; and every problem."""
    for report in reports:
        if len(reports) == 1 and report.folders:
            yield from table(
                report.folders,
                [
                    Column("migrate-column-folder", lambda row: row.folder),
                    Column("migrate-column-there", lambda row: row.source, right=True),
                    Column("migrate-column-brought", lambda row: row.brought, right=True),
                    Column("migrate-column-here", lambda row: row.here, right=True),
                    Column("migrate-column-bytes", lambda row: about_size(row.bytes), right=True),
                ],
            )
        yield summary(report)
        for notice in (*report.problems, *report.notes):
            yield "  " + printable(told(notice))


def mailbox_plain(report: MailboxReport) -> dict[str, Any]:
    """The report for programs."""
    return {
        "address": report.address,
        "source": report.source,
        "complete": report.ok,
        "messages": report.messages,
        "bytes": report.bytes,
        "seconds": report.seconds,
        "folders": [
            {
                "folder": each.folder,
                "there": each.source,
                "brought": each.brought,
                "here": each.here,
                "bytes": each.bytes,
            }
            for each in report.folders
        ],
        "problems": [_plain(notice) for notice in report.problems],
        "notes": [_plain(notice) for notice in report.notes],
    }


def _plain(notice: Notice) -> dict[str, str]:
    return {"key": notice.key, "text": told(notice)}
