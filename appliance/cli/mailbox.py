"""`posthouse mailbox`: everything about mailboxes, from creation to the removal of their mail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from appliance import paths
from appliance.cli.accounts import (
    SHOWN,
    cleared,
    confirm,
    emit_list,
    given_password,
    password_options,
    quota_text,
    status_text,
    switch,
)
from appliance.cli.mailbox_move import move
from appliance.cli.mailbox_usage import recount, usage
from appliance.cli.output import Column, details, emit, json_option, plain
from appliance.cluster.names import GroupName
from appliance.directory import bulk, purge
from appliance.directory.addresses import any_address, displayed
from appliance.directory.model import KEEP, Mailbox, MailboxChange, Status
from appliance.directory.service import DirectoryService
from appliance.errors import BadInput
from appliance.i18n import lazy, translate
from appliance.settings.units import parse_size

_COLUMNS = (
    Column("account-column-address", lambda row: displayed(row.address)),
    Column("account-column-name", lambda row: row.name),
    Column("account-column-status", lambda row: status_text(row.status)),
    Column("mailbox-column-quota", lambda row: quota_text(row.quota), right=True),
)
_DELETED_COLUMNS = (
    Column("account-column-address", lambda row: displayed(row.address)),
    Column("account-column-name", lambda row: row.name),
    Column("mailbox-column-deleted", lambda row: _time(row.deleted_at)),
    Column("mailbox-column-id", lambda row: row.id),
)


@click.group(help=lazy("mailbox-help"))
def mailbox() -> None: ...


@mailbox.command(help=lazy("mailbox-create-help"))
@click.argument("address")
@password_options
@click.option("--no-password", is_flag=True, help=lazy("mailbox-option-no-password"))
@click.option("--name", help=lazy("account-option-name"))
@click.option("--quota", help=lazy("mailbox-option-quota"))
@click.option("--description", help=lazy("account-option-description"))
@click.option("--disabled", is_flag=True, help=lazy("mailbox-option-disabled"))
@click.option("--refuse-mail", is_flag=True, help=lazy("mailbox-option-refuse-mail"))
@click.option("--group", help=lazy("mailbox-option-group"))
@json_option
def create(  # noqa: PLR0917 - one parameter an option
    address: str,
    no_password: bool,
    name: str | None,
    quota: str | None,
    description: str | None,
    disabled: bool,
    refuse_mail: bool,
    group: str | None,
    as_json: bool,
    **ways: bool,
) -> None:
    size = _size(quota)
    with DirectoryService.connect() as directory:
        directory.mailboxes.may_be_made(address)  # before anybody types a password in vain
        password = given_password(**ways, none=no_password)
        wanted = directory.mailboxes.wanted(
            address,
            password=password.clear,
            password_hash=password.hashed,
            name=name,
            quota=size,
            remark=description,
            status=Status.DISABLED if disabled else Status.ACTIVE,
            refuse_mail=refuse_mail,
            group=group,
        )
        made = directory.mailboxes.create(wanted)
    _emit_with_password(
        made, password.generated, as_json, translate("mailbox-created", address=displayed(made.address))
    )


mailbox.add_command(usage)
mailbox.add_command(recount)
mailbox.add_command(move)


@mailbox.command("list", help=lazy("mailbox-list-help"))
@click.option("--domain", help=lazy("account-option-domain"))
@click.option("--deleted", is_flag=True, help=lazy("mailbox-option-deleted"))
@click.option("--limit", type=click.IntRange(min=0), help=lazy("account-option-limit"))
@json_option
def list_(domain: str | None, deleted: bool, limit: int | None, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        if deleted:
            emit_list(directory.mailboxes.deleted(domain), as_json, _DELETED_COLUMNS, limit)
        else:
            # a table needs one more than it shows, to tell that there are more
            page = None if as_json or limit == 0 else (limit or SHOWN) + 1
            emit_list(directory.mailboxes.all(domain, page=page), as_json, _COLUMNS, limit)


@mailbox.command(help=lazy("mailbox-search-help"))
@click.argument("term")
@click.option("--domain", help=lazy("account-option-domain"))
@click.option("--limit", type=click.IntRange(min=0), default=SHOWN, help=lazy("account-option-limit"))
@json_option
def search(term: str, domain: str | None, limit: int, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        found = directory.mailboxes.search(term, domain, limit)
    emit_list(found.mailboxes, as_json, _COLUMNS, 0, complete=found.complete)


@mailbox.command(help=lazy("mailbox-show-help"))
@click.argument("address")
@json_option
def show(address: str, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        found = directory.mailboxes.find(address)
        aliases = [alias.address for alias in directory.aliases.pointing_to(any_address(found.address))]
    data = {**plain(found), "aliases": aliases}
    emit(data, as_json, lambda: _page(found, aliases))


@mailbox.command(help=lazy("mailbox-change-help"))
@click.argument("address")
@click.option("--name", help=lazy("account-option-name"))
@click.option("--quota", help=lazy("mailbox-option-quota"))
@click.option("--description", help=lazy("account-option-description"))
@click.option("--refuse-mail", is_flag=True, help=lazy("mailbox-option-refuse-mail"))
@click.option("--accept-mail", is_flag=True, help=lazy("account-option-accept-mail"))
@json_option
def change(  # noqa: PLR0917 - one parameter an option
    address: str,
    name: str | None,
    quota: str | None,
    description: str | None,
    refuse_mail: bool,
    accept_mail: bool,
    as_json: bool,
) -> None:
    size = _size(quota)
    wanted = MailboxChange(
        name=cleared(name),
        quota=KEEP if size is None else size,
        description=cleared(description),
        refuse_mail=switch(refuse_mail, accept_mail, "refuse-mail"),
    )
    _change(address, wanted, as_json)


@mailbox.command(help=lazy("mailbox-disable-help"))
@click.argument("address")
@click.option("--refuse-mail", is_flag=True, help=lazy("mailbox-option-refuse-mail"))
@json_option
def disable(address: str, refuse_mail: bool, as_json: bool) -> None:
    _change(address, MailboxChange(status=Status.DISABLED, refuse_mail=True if refuse_mail else KEEP), as_json)


@mailbox.command(help=lazy("mailbox-enable-help"))
@click.argument("address")
@json_option
def enable(address: str, as_json: bool) -> None:
    _change(address, MailboxChange(status=Status.ACTIVE, refuse_mail=False), as_json)


@mailbox.command(help=lazy("mailbox-password-help"))
@click.argument("address")
@password_options
@json_option
def password(address: str, as_json: bool, **ways: bool) -> None:
    with DirectoryService.connect() as directory:
        directory.mailboxes.find(address)
        given = given_password(**ways)
        directory.mailboxes.set_password(address, password=given.clear, password_hash=given.hashed)
        found = directory.mailboxes.find(address)
    _emit_with_password(
        found, given.generated, as_json, translate("mailbox-password-set", address=displayed(found.address))
    )


@mailbox.command(help=lazy("mailbox-rename-help"))
@click.argument("address")
@click.argument("new_address")
@click.option("--keep-alias", is_flag=True, help=lazy("mailbox-option-keep-alias"))
@json_option
def rename(address: str, new_address: str, keep_alias: bool, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        before = directory.mailboxes.find(address)
        renamed = directory.mailboxes.rename(address, new_address)
        if keep_alias and before.address != renamed.address:
            directory.aliases.create(before.address, [renamed.address])
    emit(
        renamed,
        as_json,
        lambda: [translate("mailbox-renamed", old=displayed(before.address), new=displayed(renamed.address))],
    )


@mailbox.command(help=lazy("mailbox-delete-help"))
@click.argument("address")
@json_option
def delete(address: str, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        gone = directory.mailboxes.delete(address)
        aliases = [alias.address for alias in directory.aliases.pointing_to(any_address(gone.address))]
        kept = directory.rules.of(any_address(gone.address).domain).retention
    data = {**plain(gone), "kept_seconds": kept.total_seconds(), "aliases": aliases}
    emit(
        data,
        as_json,
        lambda: [translate("mailbox-deleted", address=displayed(gone.address), id=gone.id, days=kept.days)],
    )
    for alias in aliases:
        click.echo(translate("mailbox-alias-left", alias=alias, address=gone.address), err=True)


@mailbox.command(help=lazy("mailbox-restore-help"))
@click.argument("name", metavar="ADDRESS|ID")
@json_option
def restore(name: str, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        back = directory.mailboxes.restore(name)
    emit(back, as_json, lambda: [translate("mailbox-restored", address=displayed(back.address))])


@mailbox.command("purge", help=lazy("mailbox-purge-help"))
@click.argument("name", metavar="[ADDRESS|ID]", required=False)
@click.option("--yes", is_flag=True, help=lazy("account-option-yes"))
@json_option
def purge_(name: str | None, yes: bool, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        if name is None:
            here = paths.groups_here()
            purged = [each for group in here for each in purge.purge_due(directory, paths.volume(group), group)]
        else:
            found = directory.mailboxes.find_deleted(name)
            confirm("mailbox-confirm-purge", yes, address=displayed(found.address), id=found.id)
            purged = [purge.purge_one(directory, paths.volume(GroupName(found.group)), found.id)]
    emit(
        purged,
        as_json,
        lambda: [translate("mailbox-purged", count=len(purged)), *(displayed(row.address) for row in purged)],
    )


@mailbox.command("import", help=lazy("mailbox-import-help"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=False, path_type=Path))
@json_option
def import_(file: Path, as_json: bool) -> None:
    count = sum(1 for _ in _rows(file))  # the whole file is sound before anything is made
    refused: list[dict[str, Any]] = []
    made = 0
    with (
        DirectoryService.connect() as directory,
        click.progressbar(length=count, label=translate("mailbox-importing"), file=sys.stderr) as bar,
    ):
        for outcome in directory.create_mailboxes(_rows(file)):
            bar.update(1)
            if outcome.error is None:
                made += 1
            else:
                refused.append({"line": outcome.row.line, "address": outcome.row.address, "error": str(outcome.error)})
    data = {"created": made, "refused": refused}
    emit(data, as_json, lambda: _import_page(made, refused))
    if refused:
        raise click.exceptions.Exit(BadInput.exit_code)


def _rows(file: Path) -> Iterator[bulk.Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        yield from bulk.rows(lines)


def _import_page(made: int, refused: list[dict[str, Any]]) -> list[str]:
    lines = [translate("mailbox-import-refused", **row) for row in refused]
    return [*lines, translate("mailbox-imported", made=made, refused=len(refused))]


def _change(address: str, wanted: MailboxChange, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        changed = directory.mailboxes.change(address, wanted)
    emit(changed, as_json, lambda: _page(changed, []))


def _emit_with_password(found: Mailbox, generated: str | None, as_json: bool, done: str) -> None:
    data = {**plain(found), "generated_password": generated} if generated else found
    shown = [translate("password-generated", password=generated)] if generated else []
    emit(data, as_json, lambda: [done, *shown])


def _page(found: Mailbox, aliases: list[str]) -> list[str]:
    return details(
        [
            (translate("account-column-address"), displayed(found.address)),
            (translate("domain-label-stored"), found.address if found.logins else None),
            (translate("account-column-name"), found.name),
            (translate("account-column-status"), status_text(found.status)),
            (translate("account-label-refuses-mail"), found.refuse_mail),
            (translate("mailbox-column-quota"), quota_text(found.quota)),
            (translate("mailbox-label-password"), _time(found.password_changed_at) or translate("mailbox-no-password")),
            (translate("mailbox-label-aliases"), ", ".join(aliases) or None),
            (translate("mailbox-label-group"), found.group),
            (translate("mailbox-label-moving"), found.moving_to),
            (translate("mailbox-label-home"), found.path),
            (translate("mailbox-label-previous"), found.previous_address),
            (translate("account-column-description"), found.description),
        ]
    )


def _time(moment: Any) -> str | None:
    return moment.astimezone().isoformat(sep=" ", timespec="seconds") if moment else None


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_size(text)
    except ValueError:
        raise BadInput("quota", "setting-not-size", value=text) from None
