"""`posthouse mailbox move`: to another group, while the mailbox is in use."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from appliance.cli.output import emit, json_option
from appliance.coordination import connect
from appliance.directory.addresses import displayed
from appliance.directory.service import DirectoryService
from appliance.i18n import lazy, translate
from appliance.operations import mailbox_moves


@click.command(help=lazy("mailbox-move-help"))
@click.argument("address")
@click.argument("group")
@json_option
def move(address: str, group: str, as_json: bool) -> None:
    def say(key: str) -> None:
        click.echo(translate(key), err=True)

    with DirectoryService.connect() as directory:
        mailbox, target = directory.mailboxes.find(address), directory.rules.known_group(group)
    with connect() as store:
        done = mailbox_moves.follow(store, mailbox_moves.order(store, mailbox, target, datetime.now(UTC)), say)
    facts = {"address": displayed(done.address), "group": done.target, "seconds": f"{done.held or 0.0:.1f}"}
    emit(done, as_json, lambda: [translate("mailbox-moved" if done.copies else "mailbox-moved-before", **facts)])
