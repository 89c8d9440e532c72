"""`posthouse service`: the engines of a node, this one unless `--node` names another: list, restart, stop, start.

A command writes desired state; the node's agent carries it out and the command waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from appliance import node_file
from appliance.cli.output import Column, emit, json_option
from appliance.cli.status import age, is_fresh, local_report, must_be_set_up, state_text
from appliance.cluster import keys
from appliance.cluster.names import InstanceId, NodeName, Seconds, node_name
from appliance.cluster.report import InstanceReport, NodeReport
from appliance.coordination import connect
from appliance.errors import NotFound, PosthouseError, Unavailable
from appliance.i18n import lazy, translate
from appliance.operations.nodes import known as known_node

#: Stopped by way of the store, it could not be started again that way.
STORE_ENGINE = "etcd"
_WITHIN = Seconds(45.0)
_POLL = Seconds(0.2)


@click.group(help=lazy("service-help"))
def service() -> None:
    pass


def _node_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--node", help=lazy("service-node-help"))(command)


@service.command("list", help=lazy("service-list-help"))
@_node_option
@json_option
def list_(node: str | None, as_json: bool) -> None:
    must_be_set_up()
    report = _report(_target(node))
    if report is None:
        raise AgentSilent("service-no-report")
    if not is_fresh(report):
        click.echo(translate("service-list-stale", seconds=int(age(report))), err=True)
    rows = list(report.instances)
    columns = [
        Column("service-column-instance", lambda row: row.instance),
        Column("service-column-state", lambda row: state_text(row.state)),
        Column("service-column-healthy", lambda row: row.healthy),
        Column("service-column-restarts", lambda row: row.restarts, right=True),
        Column("service-column-generation", lambda row: row.generation),
    ]
    emit(rows, as_json, columns)


@service.command(help=lazy("service-restart-help"))
@click.argument("instance")
@_node_option
def restart(instance: str, node: str | None) -> None:
    target = _target(node)
    identity = _known(instance, target)
    before = _row(identity, target)
    key = keys.restart(identity, target or node_file.read().name)
    with connect() as store:
        record = store.get(key)
        if record is not None and count(record.value) is None:
            click.echo(translate("service-counter-unreadable", instance=str(identity)), err=True)
        store.put(key, str(next_count(record.value if record else "0")))
    _wait(identity, target, lambda row: row.healthy and (before is None or row.since != before.since))
    click.echo(translate("service-restarted", instance=str(identity)))


@service.command(help=lazy("service-stop-help"))
@click.argument("instance")
@_node_option
def stop(instance: str, node: str | None) -> None:
    target = _target(node)
    identity = _known(instance, target)
    if identity.engine == STORE_ENGINE:
        raise PosthouseError("service-is-the-store", instance=str(identity))
    with connect() as store:
        store.put(keys.stopped(identity, target or node_file.read().name), "1")
    _wait(identity, target, lambda row: row.state == "stopped")
    click.echo(translate("service-stopped", instance=str(identity)))


@service.command(help=lazy("service-start-help"))
@click.argument("instance")
@_node_option
def start(instance: str, node: str | None) -> None:
    target = _target(node)
    identity = _known(instance, target)
    with connect() as store:
        store.delete(keys.stopped(identity, target or node_file.read().name))
    _wait(identity, target, lambda row: row.state == "running" and row.healthy)
    click.echo(translate("service-started", instance=str(identity)))


class AgentSilent(Unavailable):
    """Nobody would carry out what is asked for, or nothing is known yet."""


def count(text: str) -> int | None:
    """A restart counter as the store holds it; None when it is not a number. Pure."""
    try:
        return int(text)
    except ValueError:
        return None


def next_count(text: str) -> int:
    """The counter that asks for a restart after `text`; never one that was there before, should it be unreadable."""
    known = count(text)
    return int(time.time()) if known is None else known + 1


def _target(text: str | None) -> NodeName | None:
    """The other node that is meant, or None for this one; raise NotFound for one that does not exist."""
    if text is None:
        return None
    name = node_name(text)
    if name == node_file.read().name:
        return None
    with connect() as store:
        known_node(store, name)
    return name


def _report(target: NodeName | None) -> NodeReport | None:
    """The newest report of the node: its own file, or what another one's agent wrote into the store."""
    if target is None:
        return local_report()
    with connect() as store:
        record = store.get(keys.status(target))
    return None if record is None else NodeReport.model_validate_json(record.value)


def _known(text: str, target: NodeName | None) -> InstanceId:
    """The instance named, which must be one of the node's."""
    must_be_set_up()
    identity = InstanceId.parse(text)
    report = _report(target)
    if report is None:
        raise AgentSilent("service-no-report")
    if not is_fresh(report):
        raise AgentSilent("service-agent-silent", seconds=int(age(report)))
    if str(identity) not in {row.instance for row in report.instances}:
        raise NotFound("service-unknown", instance=str(identity))
    return identity


def _row(identity: InstanceId, target: NodeName | None) -> InstanceReport | None:
    report = _report(target)
    if report is None or not is_fresh(report):
        return None
    return next((row for row in report.instances if row.instance == str(identity)), None)


def _wait(identity: InstanceId, target: NodeName | None, reached: Callable[[InstanceReport], bool]) -> None:
    until, row = time.monotonic() + _WITHIN, None
    while time.monotonic() < until:
        row = _row(identity, target)
        if row is not None and reached(row):
            return
        time.sleep(_POLL)
    if row is None and (report := _report(target)) is not None and not is_fresh(report):
        raise AgentSilent("service-agent-silent", seconds=int(age(report)))
    raise PosthouseError("service-not-reached", instance=str(identity), seconds=int(_WITHIN))
