"""`posthouse migrate`: accounts and mail from other systems.

The work is done in `appliance/migration/`; here are the arguments, the progress on a
terminal, and the reports. Passwords come from standard input or a file, never from
the command line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from appliance import durable_files, paths
from appliance.cli.migrate_show import Screen, mailbox_lines, mailbox_plain
from appliance.cli.output import Column, emit, json_option
from appliance.cluster.names import GroupName
from appliance.directory.service import DirectoryService
from appliance.errors import BadInput, PosthouseError
from appliance.i18n import lazy, translate
from appliance.migration.accounts import entries, table
from appliance.migration.accounts.destination import DirectoryDestination, DryRun
from appliance.migration.accounts.importer import Importer, Wishes
from appliance.migration.accounts.outcome import Journal, Outcome, Result, counts, told
from appliance.migration.accounts.record import Row
from appliance.migration.mail import jobs, lists, past, trees
from appliance.migration.mail.mirror import CERTIFICATES, Login, Server, Tls
from appliance.migration.mail.names import SEPARATOR, Folder
from appliance.migration.mail.places import require_outside, require_root
from appliance.migration.mail.report import MailboxReport

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PLACE = click.Path(exists=True, path_type=Path)
_REPORT = click.Path(dir_okay=False, writable=True, path_type=Path)
_MAX_FILE = 1024 * 2**20
_PORTS = {Tls.IMAPS: 993, Tls.STARTTLS: 143, Tls.NONE: 143}


@click.group(help=lazy("migrate-help"))
def migrate() -> None:
    pass


# --- accounts ---------------------------------------------------------------------------------------------------


@migrate.command(help=lazy("migrate-accounts-help"))
@click.argument("file", type=_FILE)
@click.option("--domain", help=lazy("migrate-domain-help"))
@click.option("--create-domains", is_flag=True, help=lazy("migrate-create-domains-help"))
@click.option("--skip", is_flag=True, help=lazy("migrate-skip-help"))
@click.option("--dry-run", is_flag=True, help=lazy("migrate-dry-run-help"))
@click.option("--report", type=_REPORT, help=lazy("migrate-accounts-report-help"))
@click.option("--encoding", help=lazy("migrate-encoding-help"))
@json_option
def accounts(
    *,
    file: Path,
    domain: str | None,
    create_domains: bool,
    skip: bool,
    dry_run: bool,
    report: Path | None,
    encoding: str | None,
    as_json: bool,
) -> None:
    rows, ignored = _rows(file, domain, encoding)
    if report is None and not dry_run:
        require_root()
        report = _default_report(file)
    with DirectoryService.connect() as directory, Journal(report) as journal, Screen(as_json) as screen:
        destination = DryRun(directory) if dry_run else DirectoryDestination(directory)
        for outcome in Importer(destination, journal, Wishes(create_domains, skip, dry_run)).bring(rows):
            screen.show("migrate-progress-accounts", {"count": len(journal.outcomes), "address": outcome.address})
    outcomes = journal.outcomes
    tally = counts(outcomes)
    data = {
        **tally,
        "report": str(journal.written) if journal.written else None,
        "dry_run": dry_run,
        "ignored_columns": ignored,
    }
    emit({**data, "rows": [each.plain() for each in outcomes]}, as_json, lambda: _accounts_lines(outcomes, data))
    if tally[Result.REFUSED]:
        raise SystemExit(1)


def _rows(file: Path, domain: str | None, encoding: str | None) -> tuple[Iterable[Row], list[str]]:
    """The rows of a file by its kind, and the names of columns that mean nothing to us."""
    if file.stat().st_size > _MAX_FILE:
        raise BadInput("file", "migrate-file-too-large", maximum="1G")
    data = file.read_bytes()
    if file.suffix.lower() == ".ldif":
        return entries.read(data, domain, encoding), []
    found = table.read(data, encoding)
    return found.rows(domain), list(found.ignored)


def _default_report(file: Path) -> Path:
    """The same name for the same file, so that a run that was cut short is continued."""
    folder = paths.STATE / "migration"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"accounts-{file.stem}.csv"


def _accounts_lines(outcomes: Sequence[Outcome], data: dict[str, Any]) -> Iterator[str]:
    for each in outcomes:
        if each.result is Result.REFUSED and each.reason is not None:
            address = each.address or "-"
            yield translate("migrate-line-refused", line=each.line, address=address, reason=told(each.reason))
    if data["ignored_columns"]:
        yield translate("migrate-columns-ignored", columns=", ".join(data["ignored_columns"]))
    yield translate("migrate-accounts-done", **{result.value: data[result.value] for result in Result})
    if data["dry_run"]:
        yield translate("migrate-dry-run-done")
    if data["report"]:
        yield translate("migrate-report-written", path=data["report"])


# --- mail -------------------------------------------------------------------------------------------------------


def _exclude_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--exclude", multiple=True, metavar="FOLDER", help=lazy("migrate-exclude-help"))(command)


def _report_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--report", type=_REPORT, help=lazy("migrate-report-help"))(command)


def _parallel_option(command: Callable[..., Any]) -> Callable[..., Any]:
    kind = click.IntRange(1, 32)
    return click.option("--parallel", type=kind, default=2, show_default=True, help=lazy("migrate-parallel-help"))(
        command
    )


@migrate.command(help=lazy("migrate-maildir-help"))
@click.argument("path", type=_PLACE)
@click.argument("address")
@_exclude_option
@_report_option
@json_option
def maildir(*, path: Path, address: str, exclude: tuple[str, ...], report: Path | None, as_json: bool) -> None:
    source = jobs.MaildirSource(require_outside(path), exclude)
    _bring([(address, source)], parallel=1, report=report, as_json=as_json)


@migrate.command(help=lazy("migrate-mbox-help"))
@click.argument("path", type=_PLACE)
@click.argument("address")
@click.option("--folder", help=lazy("migrate-folder-help"))
@_exclude_option
@_report_option
@json_option
def mbox(
    *, path: Path, address: str, folder: str | None, exclude: tuple[str, ...], report: Path | None, as_json: bool
) -> None:
    source = jobs.MboxSource(require_outside(path), _folder(folder), exclude)
    _bring([(address, source)], parallel=1, report=report, as_json=as_json)


def _folder(name: str | None) -> Folder | None:
    if name is None:
        return None
    parts = tuple(name.split(SEPARATOR))
    if not all(parts) or not name.isprintable():
        raise BadInput("folder", "migrate-bad-folder", value=name)
    return () if name.upper() == "INBOX" else parts


@migrate.command(help=lazy("migrate-tree-help"))
@click.argument("path", type=_PLACE)
@click.option("--layout", required=True, metavar="KIND:PATTERN", help=lazy("migrate-layout-help"))
@click.option("--domain", help=lazy("migrate-domain-help"))
@_parallel_option
@_exclude_option
@_report_option
@json_option
def tree(
    *,
    path: Path,
    layout: str,
    domain: str | None,
    parallel: int,
    exclude: tuple[str, ...],
    report: Path | None,
    as_json: bool,
) -> None:
    understood = trees.parse(layout, domain)
    root = require_outside(path)
    wanted: list[tuple[str, jobs.Source]] = []
    for match in trees.find(root, understood, domain):
        if understood.kind == "maildir":
            wanted.append((match.address, jobs.MaildirSource(match.path, exclude)))
        else:
            wanted.append((match.address, jobs.MboxSource(match.path, None, exclude)))
    if not wanted:
        raise PosthouseError("migrate-tree-empty", path=str(root), layout=layout)
    _bring(wanted, parallel=parallel, report=report, as_json=as_json)


@migrate.command(help=lazy("migrate-imap-help"))
@click.argument("address", required=False)
@click.option("--server", required=True, metavar="HOST", help=lazy("migrate-server-help"))
@click.option("--port", type=click.IntRange(1, 65535), help=lazy("migrate-port-help"))
@click.option(
    "--tls",
    type=click.Choice([each.value for each in Tls]),
    default=Tls.IMAPS.value,
    show_default=True,
    help=lazy("migrate-tls-help"),
)
@click.option("--ca", type=_FILE, default=CERTIFICATES, show_default=True, help=lazy("migrate-ca-help"))
@click.option("--insecure", is_flag=True, help=lazy("migrate-insecure-help"))
@click.option("--user", help=lazy("migrate-user-help"))
@click.option("--password-stdin", is_flag=True, help=lazy("migrate-password-stdin-help"))
@click.option("--accounts", "listed", type=_FILE, help=lazy("migrate-list-help"))
@_parallel_option
@_exclude_option
@_report_option
@json_option
def imap(
    *,
    address: str | None,
    server: str,
    port: int | None,
    tls: str,
    ca: Path,
    insecure: bool,
    user: str | None,
    password_stdin: bool,
    listed: Path | None,
    parallel: int,
    exclude: tuple[str, ...],
    report: Path | None,
    as_json: bool,
) -> None:
    protection = Tls(tls)
    there = Server(server, port or _PORTS[protection], protection, not insecure, ca.resolve())
    if protection is Tls.NONE and not insecure:
        raise BadInput("tls", "migrate-clear-needs-insecure", server=server)
    if (listed is None) == (address is None):
        raise BadInput("address", "migrate-address-or-list")
    if listed is not None:
        _bring_list(there, listed, exclude=exclude, parallel=parallel, report=report, as_json=as_json)
        return
    assert address is not None
    password = _password(password_stdin)
    source = jobs.ImapSource(there, Login(user or address, password), exclude)
    _bring([(address, source)], parallel=1, report=report, as_json=as_json)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt(translate("migrate-password-prompt"), hide_input=True, err=True)
    if not password:
        raise BadInput("password", "migrate-password-empty")
    return password


def _bring_list(
    there: Server, listed: Path, *, exclude: tuple[str, ...], parallel: int, report: Path | None, as_json: bool
) -> None:
    wanted: list[tuple[str, jobs.Source]] = []
    refused = []
    for line in lists.read(listed.read_bytes()):
        source = jobs.ImapSource(there, Login(line.user, line.password), exclude)
        if line.problem is None:
            wanted.append((line.address, source))
        else:
            refused.append(jobs.refused(line.address, source, line.problem, line.line))
    _bring(wanted, parallel=parallel, report=report, as_json=as_json, refused=refused)


def _bring(
    wanted: Sequence[tuple[str, jobs.Source]],
    *,
    parallel: int,
    report: Path | None,
    as_json: bool,
    refused: Sequence[MailboxReport] = (),
) -> None:
    """Do the jobs, show how they go on, and report. Ends with 1 unless every mailbox is complete."""
    require_root()
    reports = list(refused)
    todo = []
    with DirectoryService.connect() as directory:
        for address, source in wanted:
            try:
                todo.append(jobs.Job(directory.mailboxes.find(address), source))
            except PosthouseError as problem:
                if len(wanted) == 1:
                    raise
                reports.append(jobs.refused(address, source, problem))
    with Screen(as_json) as screen:
        for done in jobs.run_all(todo, parallel, screen.progress(len(todo))):
            reports.append(done)
            screen.finished(done)
    plain = [mailbox_plain(each) for each in reports]
    if report is not None:
        text = json.dumps({"ended": datetime.now(UTC).isoformat(), "mailboxes": plain}, ensure_ascii=False, indent=1)
        durable_files.replace(report, text.encode("utf-8"), 0o600)
    emit(plain, as_json, lambda: mailbox_lines(reports))
    if not all(each.ok for each in reports):
        raise SystemExit(1)


# --- afterwards -------------------------------------------------------------------------------------------------


@migrate.command(help=lazy("migrate-status-help"))
@click.option("--group", default="mail", show_default=True, help=lazy("migrate-group-help"))
@json_option
def status(group: str, as_json: bool) -> None:
    require_root()
    columns = [
        Column("migrate-column-address", lambda row: row.address),
        Column("migrate-column-source", lambda row: row.source),
        Column("migrate-column-ended", lambda row: row.ended),
        Column("migrate-column-messages", lambda row: row.messages, right=True),
        Column("migrate-column-complete", lambda row: row.complete),
        Column("migrate-column-space", lambda row: row.space, right=True),
    ]
    emit(past.runs(GroupName(group)), as_json, columns)


@migrate.command(help=lazy("migrate-clean-help"))
@click.argument("address", required=False)
@click.option("--all", "everything", is_flag=True, help=lazy("migrate-clean-all-help"))
@click.option("--group", default="mail", show_default=True, help=lazy("migrate-group-help"))
def clean(address: str | None, everything: bool, group: str) -> None:
    require_root()
    if (address is None) == (not everything):
        raise BadInput("address", "migrate-clean-what")
    for cleaned in past.clean(GroupName(group), address):
        click.echo(translate("migrate-cleaned", address=cleaned))
