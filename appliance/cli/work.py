"""`posthouse work`: what is done for a group by a schedule, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from appliance.cli.accounts import confirm
from appliance.cli.output import Column, details, emit, json_option, plain, printable, table
from appliance.cluster.names import group_name
from appliance.cluster.work import Run, Work
from appliance.coordination import connect
from appliance.i18n import lazy, translate
from appliance.operations import work as operations


@click.group(help=lazy("work-help"))
def work() -> None: ...


@work.command("list", help=lazy("work-list-help"))
@click.option("--group", help=lazy("work-option-group"))
@json_option
def list_(group: str | None, as_json: bool) -> None:
    chosen = group_name(group) if group else None
    with connect() as store:
        works, runs = operations.works(store, chosen), operations.runs(store, chosen)
    last = {(run.group, run.work): run for run in runs}
    rows = [(each, last.get((each.group, each.name))) for each in works]
    if as_json:
        emit([{**plain(each), "last": plain(run) if run else None} for each, run in rows], as_json, list)
        return
    emit(
        rows,
        as_json,
        (
            Column("work-column-group", lambda row: row[0].group),
            Column("work-column-name", lambda row: row[0].name),
            Column("work-column-kind", lambda row: row[0].kind),
            Column("work-column-schedule", lambda row: _schedule(row[0])),
            Column("work-column-last", lambda row: _time(row[1].began or row[1].due) if row[1] else None),
            Column("work-column-result", lambda row: _result(row[1]) if row[1] else None),
        ),
    )


@work.command(help=lazy("work-show-help"))
@click.argument("group", metavar="GROUP")
@click.argument("name", metavar="NAME")
@json_option
def show(group: str, name: str, as_json: bool) -> None:
    chosen = group_name(group)
    with connect() as store:
        found, runs = operations.known(store, chosen, name), operations.runs(store, chosen, name)
    runs.reverse()
    emit({**plain(found), "runs": plain(runs)}, as_json, lambda: _page(found, runs))


@work.command(help=lazy("work-run-help"))
@click.argument("group", metavar="GROUP")
@click.argument("name", metavar="NAME")
@json_option
def run(group: str, name: str, as_json: bool) -> None:
    with connect() as store:
        ordered = operations.order(store, group_name(group), name, datetime.now(UTC))
    emit(ordered, as_json, lambda: [translate("work-ordered", group=ordered.group, name=name)])


@work.command("set", help=lazy("work-set-help"))
@click.argument("group", metavar="GROUP")
@click.argument("name", metavar="NAME")
@click.option("--kind", required=True, help=lazy("work-option-kind"))
@click.option("--cron", required=True, metavar="'M H D M W'", help=lazy("work-option-cron"))
@click.option("--keep", type=click.IntRange(1, 1000), default=20, help=lazy("work-option-keep"))
@click.option("--patience", type=click.IntRange(1, 604_800), default=3600, help=lazy("work-option-patience"))
@json_option
def set_(group: str, name: str, as_json: bool, **fields: Any) -> None:
    with connect() as store:
        made = operations.put(store, group_name(group), name, fields)
    emit(made, as_json, lambda: [translate("work-set", group=made.group, name=made.name)])


@work.command(help=lazy("work-delete-help"))
@click.argument("group", metavar="GROUP")
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help=lazy("account-option-yes"))
@json_option
def delete(group: str, name: str, yes: bool, as_json: bool) -> None:
    chosen = group_name(group)
    with connect() as store:
        operations.known(store, chosen, name)
        confirm("work-confirm-delete", yes, group=chosen, name=name)
        operations.delete(store, chosen, name)
    emit({"group": chosen, "name": name}, as_json, lambda: [translate("work-deleted", group=chosen, name=name)])


def _page(found: Work, runs: list[Run]) -> list[str]:
    facts = [
        (translate("work-column-kind"), found.kind),
        (translate("work-column-schedule"), _schedule(found)),
        (translate("work-column-patience"), f"{found.patience:.0f} s"),
        *((name, value) for name, value in sorted(found.parameters.items())),
    ]
    columns = (
        Column("work-column-began", lambda row: _time(row.began or row.due)),
        Column("work-column-where", lambda row: row.owner),
        Column("work-column-took", _took, right=True),
        Column("work-column-result", _result),
    )
    lines = [*details(facts), "", *table(runs, columns)]
    said = next((each for each in runs if each.detail), None)
    if said is not None:
        lines += ["", translate("work-last-lines", at=_time(said.began or said.due))]
        lines += [f"  {printable(line)}" for line in said.detail.splitlines()]
    return lines


def _schedule(found: Work) -> str | None:
    return found.cron or (_time(found.once) if found.once else None)


def _result(found: Run) -> str:
    state = translate(f"work-state-{found.state.value}")
    return f"{state}: {translate(found.reason, code=found.exit_code or 0)}" if found.reason else state


def _took(found: Run) -> str | None:
    return f"{(found.ended - found.began).total_seconds():.1f} s" if found.began and found.ended else None


def _time(at: datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="seconds")
