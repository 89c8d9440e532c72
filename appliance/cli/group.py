"""`posthouse group`: service groups: make, change, move, stop, start. Each waits until it is so, and says how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import click
from pydantic import ValidationError

from appliance.cli.cluster_status import GROUP_COLUMNS
from appliance.cli.output import details, emit, json_option
from appliance.cli.status import in_words
from appliance.cluster.model import Filesystem, ServiceGroup
from appliance.cluster.names import EngineName, GroupName, Seconds, group_name, node_name
from appliance.cluster.report import Notice
from appliance.coordination import connect
from appliance.coordination.store import Store, StoreUnavailable
from appliance.errors import BadInput, NotFound, PosthouseError
from appliance.i18n import lazy, translate
from appliance.installation.steps import MAIL_SERVICES
from appliance.operations import groups
from appliance.operations.overview import GroupLine, GroupState, read

_WITHIN = Seconds(60.0)
_POLL = Seconds(0.1)
_FILESYSTEMS = [each.value for each in Filesystem]


@click.group(help=lazy("group-help"))
def group() -> None:
    pass


def _pairs(values: Sequence[str], field: str) -> dict[str, str]:
    """NAME=VALUE of repeated options."""
    found = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals or not name or not value:
            raise BadInput(field, "group-not-a-pair", value=each)
        found[name] = value
    return found


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `create` and `set` both take."""
    for option in reversed(
        (
            click.option("--volume", help=lazy("group-volume-help")),
            click.option("--source", "sources", multiple=True, help=lazy("group-source-help")),
            click.option(
                "--filesystem",
                type=click.Choice([each.value for each in Filesystem]),
                help=lazy("group-filesystem-help"),
            ),
            click.option("--reservation/--no-reservation", default=None, help=lazy("group-reservation-help")),
            click.option("--address", "addresses", multiple=True, help=lazy("group-address-help")),
            click.option("--service", "services", multiple=True, help=lazy("group-service-help")),
            click.option("--candidate", "candidates", multiple=True, help=lazy("group-candidate-help")),
            click.option("--label", "labels", multiple=True, help=lazy("group-label-help")),
            click.option("--priority", type=int, help=lazy("group-priority-help")),
            click.option("--together", multiple=True, help=lazy("group-together-help")),
            click.option("--apart", multiple=True, help=lazy("group-apart-help")),
            click.option("--start-after", multiple=True, help=lazy("group-start-after-help")),
            click.option(
                "--failback", type=click.Choice(["automatic", "window", "manual"]), help=lazy("group-failback-help")
            ),
            click.option("--settle", type=float, help=lazy("group-settle-help")),
            click.option("--window", help=lazy("group-window-help")),
        )
    ):
        command = option(command)
    return command


def _fields(given: dict[str, Any], now: ServiceGroup | None) -> dict[str, Any]:
    """The fields of a group that the options say; what is not said is left out."""
    fields: dict[str, Any] = {}
    if given["volume"] is not None:
        sources = {node_name(name): path for name, path in _pairs(given["sources"], "source").items()}
        fields["volume"] = groups.volume(
            given["volume"],
            sources=sources,
            filesystem=given["filesystem"],
            reservation=bool(given["reservation"]),
        ).model_dump()
    elif given["sources"] or given["filesystem"] or given["reservation"] is not None:
        raise BadInput("volume", "group-volume-not-said")
    if given["addresses"]:
        fields["addresses"] = tuple(_address(each) for each in given["addresses"])
    if given["services"]:
        fields["services"] = tuple(EngineName(each) for each in given["services"])
    if given["candidates"]:
        fields["candidates"] = tuple(node_name(each) for each in given["candidates"])
    if given["labels"]:
        fields["labels"] = _pairs(given["labels"], "label")
    if given["priority"] is not None:
        fields["priority"] = given["priority"]
    for name in ("together", "apart", "start_after"):
        if given[name]:
            fields[name] = frozenset(group_name(each) for each in given[name])
    failback = {"policy": given["failback"], "settle": given["settle"], "window": given["window"]}
    said = {name: value for name, value in failback.items() if value is not None}
    if said:
        fields["failback"] = {**(now.failback.model_dump() if now else {}), **said}
    return fields


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise BadInput("addresses", "group-not-an-address", value=text) from error


@group.command("list", help=lazy("group-list-help"))
@json_option
def list_(as_json: bool) -> None:
    with connect() as store:
        seen = read(store)
    emit(list(seen.groups), as_json, GROUP_COLUMNS)


@group.command(help=lazy("group-show-help"))
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    wanted = group_name(name)
    with connect() as store:
        definition, _ = groups.known(store, wanted)
        line = _line(store, wanted)
    data = {"group": definition, "now": line}
    emit(data, as_json, lambda: _screen(definition, line))


def _screen(definition: ServiceGroup, line: GroupLine) -> list[str]:
    spec = definition.volume
    sources = ", ".join(f"{node}={source}" for node, source in sorted(spec.sources.items()))
    volume = ":".join(filter(None, (spec.driver.value, spec.source or sources)))
    failback = definition.failback
    return details(
        [
            (translate("cluster-column-group"), definition.name),
            (translate("cluster-column-state"), translate(f"group-state-{line.state.value}")),
            (translate("cluster-column-owner"), line.owner),
            (translate("cluster-column-placed"), line.placed),
            (translate("group-detail-reason"), _why(line)),
            (translate("group-detail-epoch"), line.epoch or None),
            (translate("group-detail-volume"), volume),
            (translate("cluster-column-addresses"), definition.addresses),
            (translate("group-detail-services"), definition.services),
            (translate("group-detail-candidates"), definition.candidates),
            (translate("group-detail-labels"), [f"{name}={value}" for name, value in definition.labels.items()]),
            (translate("group-detail-priority"), definition.priority),
            (translate("group-detail-together"), sorted(definition.together)),
            (translate("group-detail-apart"), sorted(definition.apart)),
            (translate("group-detail-start-after"), sorted(definition.start_after)),
            (translate("group-detail-failback"), f"{failback.policy.value} ({failback.settle:g} s, {failback.window})"),
        ]
    )


def _why(line: GroupLine) -> str | None:
    return in_words(Notice(key=line.reason, facts=dict(line.facts))) if line.reason else None


@group.command(help=lazy("group-create-help"))
@click.argument("name")
@_options
@click.option("--wait/--no-wait", default=True, help=lazy("group-wait-help"))
def create(name: str, wait: bool, **given: Any) -> None:
    wanted = group_name(name)
    if given["volume"] is None:
        raise BadInput("volume", "group-volume-not-said")
    fields = {"services": MAIL_SERVICES, **_fields(given, None)}
    try:
        made = ServiceGroup.model_validate({"name": wanted, **fields})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(str(first["loc"][0]), "group-bad-field", detail=first["msg"]) from error
    with connect() as store:
        groups.create(store, made)
        if wait:
            _wait(store, wanted, lambda line: line.state is GroupState.ACTIVE)
    click.echo(translate("group-created", group=wanted))


@group.command("set", help=lazy("group-set-help"))
@click.argument("name")
@_options
def set_(name: str, **given: Any) -> None:
    wanted = group_name(name)
    with connect() as store:
        now, _ = groups.known(store, wanted)
        fields = _fields(given, now)
        if not fields:
            raise BadInput("group", "group-nothing-said")
        groups.change(store, wanted, fields)
    click.echo(translate("group-set-done", group=wanted))


@group.command(help=lazy("group-delete-help"))
@click.argument("name")
@click.option("--yes", is_flag=True, help=lazy("group-yes-help"))
def delete(name: str, yes: bool) -> None:
    wanted = group_name(name)
    if not yes:
        click.confirm(translate("group-delete-confirm", group=wanted), abort=True)
    with connect() as store:
        groups.delete(store, wanted)
    click.echo(translate("group-deleted", group=wanted))


@group.command(help=lazy("group-move-help"))
@click.argument("name")
@click.argument("node")
@click.option("--wait/--no-wait", default=True, help=lazy("group-wait-help"))
def move(name: str, node: str, wait: bool) -> None:
    wanted, target = group_name(name), node_name(node)
    began = time.monotonic()
    with connect() as store:
        groups.move(store, wanted, target)
        if wait:
            _wait(store, wanted, lambda line: line.owner == target and line.state is GroupState.ACTIVE)
    took = time.monotonic() - began
    key = "group-moved" if wait else "group-move-wished"
    click.echo(translate(key, group=wanted, node=target, seconds=f"{took:.1f}"))


@group.command(help=lazy("group-stop-help"))
@click.argument("name")
@click.option("--wait/--no-wait", default=True, help=lazy("group-wait-help"))
def stop(name: str, wait: bool) -> None:
    wanted = group_name(name)
    with connect() as store:
        groups.stop(store, wanted)
        if wait:
            _wait(store, wanted, lambda line: line.state is GroupState.STOPPED)
    click.echo(translate("group-stopped", group=wanted))


@group.command(help=lazy("group-start-help"))
@click.argument("name")
@click.option("--wait/--no-wait", default=True, help=lazy("group-wait-help"))
def start(name: str, wait: bool) -> None:
    wanted = group_name(name)
    with connect() as store:
        groups.start(store, wanted)
        if wait:
            _wait(store, wanted, lambda line: line.state is GroupState.ACTIVE)
    click.echo(translate("group-started", group=wanted))


def _line(store: Store, name: GroupName) -> GroupLine:
    line = next((each for each in read(store).groups if each.name == name), None)
    if line is None:
        raise NotFound("group-not-found", group=name)
    return line


def _wait(store: Store, name: GroupName, reached: Callable[[GroupLine], bool]) -> None:
    """Wait until the group is as wanted; raise with what it is instead. What was wished stands all the same."""
    until, line = time.monotonic() + _WITHIN, None
    while time.monotonic() < until:
        try:
            line = _line(store, name)
        except StoreUnavailable:
            line = None  # a member of the store may just have died with the node that is left
        if line is not None and reached(line):
            return
        time.sleep(_POLL)
    state = translate(f"group-state-{line.state.value}") if line else "?"
    reason = (_why(line) if line else None) or "-"
    raise PosthouseError("group-not-reached", group=name, seconds=int(_WITHIN), state=state, reason=reason)
