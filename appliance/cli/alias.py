"""`posthouse alias`: addresses that stand for others."""

from __future__ import annotations

import click

from appliance.cli.accounts import SHOWN, cleared, emit_list, status_text, switch
from appliance.cli.output import Column, details, emit, json_option
from appliance.directory.addresses import displayed, target_address
from appliance.directory.model import KEEP, Alias, AliasChange, Keep, Status
from appliance.directory.service import DirectoryService
from appliance.i18n import lazy, translate

_COLUMNS = (
    Column("account-column-address", lambda row: displayed(row.address)),
    Column("alias-column-targets", lambda row: [displayed(target) for target in row.targets]),
    Column("account-column-status", lambda row: status_text(row.status)),
    Column("account-column-name", lambda row: row.name),
)


@click.group(help=lazy("alias-help"))
def alias() -> None: ...


@alias.command(help=lazy("alias-create-help"))
@click.argument("address")
@click.argument("targets", nargs=-1, required=True)
@click.option("--name", help=lazy("account-option-name"))
@click.option("--description", help=lazy("account-option-description"))
@json_option
def create(address: str, targets: tuple[str, ...], name: str | None, description: str | None, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        made = directory.aliases.create(address, targets, name=name, remark=description)
        unknown = directory.aliases.unknown_targets(made)
    emit(made, as_json, lambda: _page(made))
    _warn(unknown)


@alias.command("list", help=lazy("alias-list-help"))
@click.option("--domain", help=lazy("account-option-domain"))
@click.option("--search", "term", help=lazy("alias-option-search"))
@click.option("--limit", type=click.IntRange(min=0), help=lazy("account-option-limit"))
@json_option
def list_(domain: str | None, term: str | None, limit: int | None, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        if term is None:
            emit_list(directory.aliases.all(domain), as_json, _COLUMNS, limit)
            return
        found = directory.aliases.search(term, domain, SHOWN if limit is None else limit)
        emit_list(found.aliases, as_json, _COLUMNS, 0, complete=found.complete)


@alias.command(help=lazy("alias-show-help"))
@click.argument("address")
@json_option
def show(address: str, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        found = directory.aliases.find(address)
        unknown = directory.aliases.unknown_targets(found)
    emit(found, as_json, lambda: _page(found))
    _warn(unknown)


@alias.command(help=lazy("alias-change-help"))
@click.argument("address")
@click.option("--add", multiple=True, metavar="TARGET", help=lazy("alias-option-add"))
@click.option("--remove", multiple=True, metavar="TARGET", help=lazy("alias-option-remove"))
@click.option("--disable", is_flag=True, help=lazy("alias-option-disable"))
@click.option("--enable", is_flag=True, help=lazy("account-option-enable"))
@click.option("--name", help=lazy("account-option-name"))
@click.option("--description", help=lazy("account-option-description"))
@json_option
def change(  # noqa: PLR0917 - one parameter an option
    address: str,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    disable: bool,
    enable: bool,
    name: str | None,
    description: str | None,
    as_json: bool,
) -> None:
    disabled = switch(disable, enable, "disable")
    wanted = AliasChange(
        add_targets=tuple(dict.fromkeys(target_address(target, "add") for target in add)),
        remove_targets=tuple(dict.fromkeys(target_address(target, "remove") for target in remove)),
        status=KEEP if isinstance(disabled, Keep) else Status.DISABLED if disabled else Status.ACTIVE,
        name=cleared(name),
        description=cleared(description),
    )
    with DirectoryService.connect() as directory:
        changed = directory.aliases.change(address, wanted)
        unknown = directory.aliases.unknown_targets(changed)
    emit(changed, as_json, lambda: _page(changed))
    _warn(unknown)


@alias.command(help=lazy("alias-delete-help"))
@click.argument("address")
@json_option
def delete(address: str, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        found = directory.aliases.delete(address)
    emit({"deleted": found.address}, as_json, lambda: [translate("alias-deleted", address=displayed(found.address))])


def _page(found: Alias) -> list[str]:
    return details(
        [
            (translate("account-column-address"), displayed(found.address)),
            (translate("account-column-name"), found.name),
            (translate("alias-column-targets"), ", ".join(map(displayed, found.targets))),
            (translate("account-column-status"), status_text(found.status)),
            (translate("account-column-description"), found.description),
        ]
    )


def _warn(unknown: tuple[str, ...]) -> None:
    for target in unknown:
        click.echo(translate("alias-target-unknown", target=displayed(target)), err=True)
