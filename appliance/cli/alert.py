"""`posthouse alert test`: try every way by which the operator would be told that mail is down."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import click

from appliance import node_file
from appliance.alerts.channels import channels
from appliance.alerts.send import alert as in_words
from appliance.alerts.send import deliver
from appliance.cli.output import Column, emit, json_option
from appliance.cluster import keys
from appliance.cluster.names import LOCAL_GROUP
from appliance.coordination import connect
from appliance.errors import PosthouseError
from appliance.i18n import lazy
from appliance.settings.layers import engine_settings


@dataclass(frozen=True)
class Tried:
    """One channel, and why it failed."""

    channel: str
    sent: bool
    detail: str | None


@click.group(help=lazy("alert-help"))
def alert() -> None:
    pass


@alert.command(help=lazy("alert-test-help"))
@json_option
def test(as_json: bool) -> None:
    node = node_file.read()
    with connect(node) as store:
        settings = engine_settings(store.list(keys.SETTINGS)[0], node.name, LOCAL_GROUP)
    ways = channels(settings)
    if not ways:
        raise PosthouseError("alert-no-channel")
    message = {"name": "test", "kind": "test", "stood": 0, "notice": {"key": "alert-test-text", "facts": {}}}
    results = deliver([in_words(message, node.hostname, settings["alert.language"])], ways)
    tried = [Tried(name, why is None, why) for name, why in results]
    emit(
        tried,
        as_json,
        [
            Column("alert-column-channel", lambda row: row.channel),
            Column("alert-column-sent", lambda row: row.sent),
            Column("alert-column-detail", lambda row: row.detail),
        ],
    )
    if not all(row.sent for row in tried):
        sys.exit(1)
