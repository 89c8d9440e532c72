"""`posthouse queue`: what waits to be delivered on this node, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from appliance import mail_queue, paths
from appliance.cli.accounts import confirm, emit_list
from appliance.cli.output import Column, details, emit, json_option, plain, printable
from appliance.cluster.names import MAIL_GROUP, EngineName, GroupName, InstanceId, group_name
from appliance.errors import BadInput
from appliance.i18n import lazy, translate
from appliance.mail_queue import ALL, Change, Queued
from appliance.paths import groups_here
from appliance.settings.units import about_size


def _state(row: Queued) -> str:
    known = {"active", "deferred", "hold", "incoming", "maildrop"}
    return translate(f"queue-state-{row.queue_name}") if row.queue_name in known else row.queue_name


def _arrived(row: Queued) -> str:
    return row.arrival_time.astimezone().isoformat(sep=" ", timespec="seconds")


_COLUMNS = (
    Column("queue-column-id", lambda row: row.queue_id),
    Column("queue-column-state", _state),
    Column("queue-column-arrived", _arrived),
    Column("queue-column-size", lambda row: about_size(row.message_size), right=True),
    Column("queue-column-sender", lambda row: row.sender or "<>"),
    Column("queue-column-recipients", lambda row: [each.address for each in row.recipients]),
)


def _group(_context: click.Context, _parameter: click.Parameter, given: str | None) -> GroupName:
    """The group that is named, else the one whose queue is here when there is one alone, else `mail`."""
    if given is not None:
        return group_name(given)
    here = [group for group in groups_here() if paths.config(InstanceId(EngineName("postfix"), group)).exists()]
    return here[0] if len(here) == 1 else MAIL_GROUP


_of_group = click.option("--group", callback=_group, help=lazy("queue-option-group"))


@click.group(help=lazy("queue-help"))
def queue() -> None: ...


@queue.command("list", help=lazy("queue-list-help"))
@click.option("--limit", type=click.IntRange(min=0), help=lazy("account-option-limit"))
@_of_group
@json_option
def list_(limit: int | None, group: GroupName, as_json: bool) -> None:
    emit_list(mail_queue.messages(group), as_json, _COLUMNS, limit)


@queue.command(help=lazy("queue-show-help"))
@click.argument("queue_id", metavar="ID")
@click.option("--whole", is_flag=True, help=lazy("queue-option-whole"))
@_of_group
@json_option
def show(queue_id: str, whole: bool, group: GroupName, as_json: bool) -> None:
    found = mail_queue.find(group, queue_id)
    text = mail_queue.text(group, queue_id, whole=whole)
    emit({**plain(found), "text": text}, as_json, lambda: _page(found, text))


@queue.command(help=lazy("queue-flush-help"))
@click.argument("queue_id", metavar="[ID]", required=False)
@_of_group
@json_option
def flush(queue_id: str | None, group: GroupName, as_json: bool) -> None:
    mail_queue.flush(group, queue_id)
    emit({"flushed": queue_id or ALL}, as_json, lambda: [translate("queue-flushed")])


@queue.command(help=lazy("queue-delete-help"))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help=lazy("queue-option-all"))
@click.option("--yes", is_flag=True, help=lazy("account-option-yes"))
@_of_group
@json_option
def delete(ids: tuple[str, ...], all_: bool, yes: bool, group: GroupName, as_json: bool) -> None:
    chosen = _chosen(ids, all_)
    if all_:
        confirm("queue-confirm-delete", yes)
    _change(group, Change.DELETE, chosen, "queue-deleted", as_json)


@queue.command(help=lazy("queue-hold-help"))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help=lazy("queue-option-all"))
@_of_group
@json_option
def hold(ids: tuple[str, ...], all_: bool, group: GroupName, as_json: bool) -> None:
    _change(group, Change.HOLD, _chosen(ids, all_), "queue-held", as_json)


@queue.command(help=lazy("queue-release-help"))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help=lazy("queue-option-all"))
@_of_group
@json_option
def release(ids: tuple[str, ...], all_: bool, group: GroupName, as_json: bool) -> None:
    _change(group, Change.RELEASE, _chosen(ids, all_), "queue-released", as_json)


def _chosen(ids: Sequence[str], all_: bool) -> list[str]:
    """The ids that were named, or ALL. Raises BadInput unless it is exactly one of both."""
    if bool(ids) == all_ or ALL in ids:
        raise BadInput("id", "queue-which")
    return [ALL] if all_ else list(ids)


def _change(group: GroupName, kind: Change, ids: list[str], done: str, as_json: bool) -> None:
    count = mail_queue.change(group, kind, ids)
    emit({"count": count}, as_json, lambda: [translate(done, count=count)])


def _page(found: Queued, text: str) -> list[str]:
    facts: list[tuple[str, object]] = [(translate(column.title), column.value(found)) for column in _COLUMNS[:-1]]
    waiting = [(each.address, each.delay_reason or "-") for each in found.recipients]
    # tabs: headers are folded with them
    shown = [printable(line.expandtabs()) for line in text.replace("\r", "").split("\n")]
    return [*details(facts), "", translate("queue-column-recipients"), *details(waiting, indent=2), "", *shown]
