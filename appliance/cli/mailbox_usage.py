"""`posthouse mailbox usage`: used space and limits."""

from __future__ import annotations

import click

from appliance import mail_usage
from appliance.cli.accounts import emit_list, quota_text
from appliance.cli.output import Column, emit, json_option
from appliance.directory.addresses import displayed
from appliance.directory.service import DirectoryService
from appliance.errors import BadInput
from appliance.i18n import lazy, translate
from appliance.mail_usage import Usage
from appliance.settings.units import about_size


def _percent(row: Usage) -> str | None:
    return None if row.percent is None else f"{row.percent} %"


_COLUMNS = (
    Column("account-column-address", lambda row: displayed(row.address)),
    Column("usage-column-used", lambda row: None if row.used is None else about_size(row.used), right=True),
    Column("mailbox-column-quota", lambda row: quota_text(row.quota), right=True),
    Column("usage-column-percent", _percent, right=True),
    Column("usage-column-messages", lambda row: row.messages, right=True),
)


@click.command(help=lazy("mailbox-usage-help"))
@click.argument("address", required=False)
@click.option("--domain", help=lazy("account-option-domain"))
@click.option("--limit", type=click.IntRange(min=0), help=lazy("account-option-limit"))
@json_option
def usage(address: str | None, domain: str | None, limit: int | None, as_json: bool) -> None:
    if (address is None) == (domain is None):
        raise BadInput("address", "usage-which")
    with DirectoryService.connect() as directory:
        chosen = [directory.mailboxes.find(address)] if address else list(directory.mailboxes.all(domain))
    emit_list(mail_usage.usage(chosen), as_json, _COLUMNS, limit)


@click.command(help=lazy("mailbox-recount-help"))
@click.argument("address")
@json_option
def recount(address: str, as_json: bool) -> None:
    with DirectoryService.connect() as directory:
        found = directory.mailboxes.find(address)
        mail_usage.recount(found)
        directory.mailboxes.note_unknown_usage(found.address)
    (counted,) = mail_usage.usage([found])
    used = "-" if counted.used is None else about_size(counted.used)
    emit(counted, as_json, lambda: [translate("mailbox-recounted", address=displayed(found.address), used=used)])
