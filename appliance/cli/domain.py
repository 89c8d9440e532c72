"""`posthouse domain`: create, list, show, change and delete domains and domain aliases."""

from __future__ import annotations

import click

from appliance.cli.accounts import SHOWN, cleared, confirm, emit_list, status_text, switch
from appliance.cli.output import Column, details, emit, json_option
from appliance.directory import schema
from appliance.directory.addresses import domain_name
from appliance.directory.domains import Count
from appliance.directory.model import KEEP, Domain, DomainAlias, DomainChange, Keep, Status
from appliance.directory.service import DirectoryService
from appliance.i18n import lazy, translate


def _state(row: Domain | DomainAlias) -> str:
    return translate("domain-is-alias-state") if isinstance(row, DomainAlias) else status_text(row.status)


_COLUMNS = (
    Column("domain-column-name", lambda row: row.display),
    Column("account-column-status", _state),
    Column("domain-column-target", lambda row: row.target if isinstance(row, DomainAlias) else None),
    Column("account-column-description", lambda row: row.description),
)


@click.group(help=lazy("domain-help"))
def domain() -> None: ...


@domain.command(help=lazy("domain-create-help"))
@click.argument("name")
@click.option("--description", help=lazy("account-option-description"))
@json_option
def create(name: str, description: str | None, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        made = directory.domains.create(name, description)
    emit(made, as_json, lambda: [translate("domain-created", domain=made.display)])


@domain.command("list", help=lazy("domain-list-help"))
@click.option("--search", "term", help=lazy("domain-option-search"))
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=lazy(
        "account-option-limit",
    ),
)
@json_option
def list_(term: str | None, limit: int | None, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        if term is None:
            emit_list(directory.domains.all(), as_json, _COLUMNS, limit)
            return
        found = directory.domains.search(term, SHOWN if limit is None else limit)
        emit_list(found.domains, as_json, _COLUMNS, 0, complete=found.complete)


@domain.command(help=lazy("domain-show-help"))
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        found = directory.domains.find(name)
        if isinstance(found, DomainAlias):
            emit(found, as_json, lambda: _alias_page(found))
            return
        named = domain_name(found.name)
        mailboxes = directory.domains.count(named, schema.MAILBOX)
        aliases = directory.domains.count(named, schema.ALIAS)
        others = [alias.name for alias in directory.domains.aliases_of(named)]
    data = {**_data(found), "mailboxes": mailboxes, "aliases": aliases, "domain_aliases": others}
    emit(data, as_json, lambda: [*_page(found, others), *_counts(mailboxes, aliases)])


@domain.command(help=lazy("domain-change-help"))
@click.argument("name")
@click.option("--disable", is_flag=True, help=lazy("domain-option-disable"))
@click.option("--enable", is_flag=True, help=lazy("account-option-enable"))
@click.option("--refuse-mail", is_flag=True, help=lazy("domain-option-refuse-mail"))
@click.option("--accept-mail", is_flag=True, help=lazy("account-option-accept-mail"))
@click.option("--description", help=lazy("account-option-description"))
@json_option
def change(  # noqa: PLR0917 - one parameter an option
    name: str, disable: bool, enable: bool, refuse_mail: bool, accept_mail: bool, description: str | None, as_json: bool
) -> None:
    disabled = switch(disable, enable, "disable")
    wanted = DomainChange(
        status=KEEP if isinstance(disabled, Keep) else Status.DISABLED if disabled else Status.ACTIVE,
        refuse_mail=switch(refuse_mail, accept_mail, "refuse-mail"),
        description=cleared(description),
    )
    with DirectoryService.connect() as directory:
        changed = directory.domains.change(name, wanted)
    emit(changed, as_json, lambda: _page(changed, []))


@domain.command(help=lazy("domain-delete-help"))
@click.argument("name")
@click.option("--recursive", is_flag=True, help=lazy("domain-option-recursive"))
@click.option("--yes", is_flag=True, help=lazy("account-option-yes"))
@json_option
def delete(name: str, recursive: bool, yes: bool, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        found = directory.domains.find(name)
        if recursive:
            confirm("domain-confirm-recursive", yes, domain=found.display)
            directory.delete_domain(name)
        else:
            directory.domains.delete(name)
    emit({"deleted": found.name}, as_json, lambda: [translate("domain-deleted", domain=found.display)])


@domain.group("alias", help=lazy("domain-alias-help"))
def alias() -> None: ...


@alias.command("create", help=lazy("domain-alias-create-help"))
@click.argument("name")
@click.argument("target")
@click.option("--description", help=lazy("account-option-description"))
@json_option
def create_alias(name: str, target: str, description: str | None, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        made = directory.domains.create_alias(name, target, description)
    emit(made, as_json, lambda: [translate("domain-alias-created", domain=made.display, target=made.target)])


def _data(found: Domain) -> dict[str, object]:
    return {
        "name": found.name,
        "display": found.display,
        "status": found.status,
        "refuse_mail": found.refuse_mail,
        "description": found.description,
    }


def _page(found: Domain, aliases: list[str]) -> list[str]:
    return details(
        [
            (translate("domain-column-name"), found.display),
            (translate("domain-label-stored"), found.name if found.name != found.display else None),
            (translate("account-column-status"), status_text(found.status)),
            (translate("account-label-refuses-mail"), found.refuse_mail),
            (translate("domain-label-aliases"), ", ".join(aliases) or None),
            (translate("account-column-description"), found.description),
        ]
    )


def _alias_page(found: DomainAlias) -> list[str]:
    return details(
        [
            (translate("domain-column-name"), found.display),
            (translate("domain-column-target"), found.target),
            (translate("account-column-description"), found.description),
        ]
    )


def _counts(mailboxes: Count, aliases: Count) -> list[str]:
    return details(
        [
            (translate("domain-label-mailboxes"), _number(mailboxes)),
            (translate("domain-label-addresses"), _number(aliases)),
        ]
    )


def _number(count: Count) -> str:
    return str(count.number) if count.exact else translate("account-more-than", number=count.number)
