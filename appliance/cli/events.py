"""`posthouse events`: the decision log of the cluster: what was seen, what was decided, and why."""

from __future__ import annotations

import json
import time

import click
from pydantic import ValidationError

from appliance.cli.cluster_status import event_line
from appliance.cli.output import emit, json_option, plain
from appliance.cluster import keys
from appliance.cluster.decided import ClusterEvent
from appliance.cluster.names import Seconds
from appliance.coordination import connect
from appliance.coordination.store import Record, Store
from appliance.i18n import lazy, translate

_POLL = Seconds(1.0)


@click.command(help=lazy("events-help"))
@click.option("--group", help=lazy("events-group-help"))
@click.option("--node", help=lazy("events-node-help"))
@click.option("--number", "-n", type=click.IntRange(1, 10_000), default=50, help=lazy("events-number-help"))
@click.option("--follow", "-f", is_flag=True, help=lazy("events-follow-help"))
@json_option
def events(group: str | None, node: str | None, number: int, follow: bool, as_json: bool) -> None:
    with connect() as store:
        found, seen = _read(store, group, node)
        shown = found[-number:]
        if follow:
            _say(shown, as_json)
            _follow(store, seen, group, node, as_json)
        emit(shown, as_json, lambda: [event_line(each) for each in shown] or [translate("output-nothing")])


def _read(store: Store, group: str | None, node: str | None) -> tuple[list[ClusterEvent], int]:
    """The events asked for in order, and the store's revision."""
    records, revision = store.list(keys.EVENTS)
    return _wanted(records, group, node), revision


def _wanted(records: list[Record], group: str | None, node: str | None) -> list[ClusterEvent]:
    found = []
    for record in records:
        try:
            event = ClusterEvent.model_validate_json(record.value)
        except ValidationError:
            continue  # of a newer release
        if (group is None or event.group == group) and (node is None or event.node == node):
            found.append(event)
    return sorted(found, key=lambda event: event.at)  # each part numbers its own


def _follow(store: Store, seen: int, group: str | None, node: str | None, as_json: bool) -> None:
    while True:
        time.sleep(_POLL)
        records, revision = store.list(keys.EVENTS)
        new = [each for each in records if each.mod_revision > seen]
        seen = revision
        _say(_wanted(new, group, node), as_json)


def _say(found: list[ClusterEvent], as_json: bool) -> None:
    for each in found:
        click.echo(json.dumps(plain(each), ensure_ascii=False) if as_json else event_line(each))
