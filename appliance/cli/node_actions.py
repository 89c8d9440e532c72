"""`posthouse node list|drain|resume|fence|acknowledge|set-fence`: what an operator does with other nodes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import click
from pydantic import ValidationError

from appliance.cli.cluster_status import NODE_COLUMNS
from appliance.cli.node import node
from appliance.cli.output import emit, json_option
from appliance.cluster import keys
from appliance.cluster.decided import FenceProgress, FenceRecord, FenceSpec
from appliance.cluster.names import NodeName, Seconds, node_name
from appliance.coordination import connect
from appliance.coordination.store import Store
from appliance.errors import BadInput, PosthouseError
from appliance.i18n import lazy, translate
from appliance.operations import fences, nodes
from appliance.operations.overview import read

_DRAINED_WITHIN = Seconds(300.0)
_FENCED_WITHIN = Seconds(60.0)
_POLL = Seconds(0.2)
#: Words in the names of parameters of fence-agents(7) that hold secrets.
_SECRET_WORDS = ("passw", "secret", "token", "community", "privacy")


@node.command("list", help=lazy("node-list-help"))
@json_option
def list_(as_json: bool) -> None:
    with connect() as store:
        seen = read(store)
    emit(list(seen.nodes), as_json, NODE_COLUMNS)


@node.command(help=lazy("node-drain-help"))
@click.argument("name")
@click.option("--wait/--no-wait", default=True, help=lazy("node-drain-wait-help"))
def drain(name: str, wait: bool) -> None:
    wanted = node_name(name)
    with connect() as store:
        nodes.drain(store, wanted)
        left = _wait_empty(store, wanted) if wait else []
    if left:
        raise PosthouseError("node-not-empty", node=wanted, groups=", ".join(left))
    click.echo(translate("node-drain-done" if wait else "node-drain-wished", node=wanted))


def _wait_empty(store: Store, wanted: NodeName) -> list[str]:
    """Groups that other nodes may own leave; return those that are still there at the end."""
    until = time.monotonic() + _DRAINED_WITHIN
    while True:
        seen = read(store)
        owned = [line.name for line in seen.groups if line.owner == wanted]
        moving = [line.name for line in seen.groups if line.owner == wanted and line.placed not in (wanted, None)]
        if not owned or (not moving and time.monotonic() > until - _DRAINED_WITHIN + 5) or time.monotonic() >= until:
            return [str(each) for each in owned]
        time.sleep(_POLL)


@node.command(help=lazy("node-resume-help"))
@click.argument("name")
def resume(name: str) -> None:
    wanted = node_name(name)
    with connect() as store:
        was = nodes.resume(store, wanted)
    click.echo(translate("node-resumed" if was else "node-not-drained", node=wanted))


@node.command(help=lazy("node-fence-help"))
@click.argument("name")
@click.option("--yes", is_flag=True, help=lazy("node-yes-help"))
def fence(name: str, yes: bool) -> None:
    wanted = node_name(name)
    if not yes:
        click.confirm(translate("node-fence-confirm", node=wanted), abort=True)
    began = time.monotonic()
    with connect() as store:
        detail = _fence(store, wanted, began + _FENCED_WITHIN)
    if detail is not None:
        seconds = round(time.monotonic() - began)
        raise PosthouseError("node-not-fenced", node=wanted, seconds=seconds, detail=detail)
    click.echo(translate("node-fenced", node=wanted))


def _fence(store: Store, wanted: NodeName, until: float) -> str | None:
    """Have the node cut off; return None once it is for certain, or what stands against it."""
    before = store.get(keys.fence(wanted))
    epoch = nodes.request_fence(store, wanted)
    quiet = fences.Quiet(store, wanted, epoch)
    found: FenceRecord | None = None
    while time.monotonic() < until:
        record = store.get(keys.fence(wanted))
        found = FenceRecord.model_validate_json(record.value) if record else None
        if record is None and store.get(keys.fence_request(wanted)) is None:
            # Its groups are taken and it is back already; or it was given up, because it renews its session.
            return "-" if nodes.session_stands(store, wanted, epoch) else None
        if found and found.session_epoch == epoch:
            new = record is not None and (before is None or record.mod_revision > before.mod_revision)
            if found.missed:
                raise BadInput("node", "node-fence-misses", value=wanted)
            if new and found.progress is FenceProgress.REFUSED:
                break
            if found.progress is FenceProgress.VERIFIED and quiet.certain(time.monotonic()):
                return None
        time.sleep(_POLL)
    return found.detail if found and found.detail else "-"


@node.command(help=lazy("node-acknowledge-help"))
@click.argument("name")
@click.option("--yes", is_flag=True, help=lazy("node-yes-help"))
def acknowledge(name: str, yes: bool) -> None:
    wanted = node_name(name)
    if not yes:
        click.confirm(translate("node-acknowledge-confirm", node=wanted), abort=True)
    with connect() as store:
        nodes.acknowledge(store, wanted)
    click.echo(translate("node-acknowledged", node=wanted))


@node.command("set-fence", help=lazy("node-set-fence-help"))
@click.argument("name")
@click.option("--agent", help=lazy("node-fence-agent-help"))
@click.option("--parameter", "parameters", multiple=True, help=lazy("node-fence-parameter-help"))
@click.option("--secrets-stdin", is_flag=True, help=lazy("node-fence-secrets-help"))
@click.option("--timeout", type=float, default=20.0, help=lazy("node-fence-timeout-help"))
@click.option("--delay", type=float, default=0.0, help=lazy("node-fence-delay-help"))
@click.option("--check/--no-check", "check", default=True, help=lazy("node-fence-no-check-help"))
@click.option("--none", "none", is_flag=True, help=lazy("node-fence-none-help"))
def set_fence(name: str, agent: str | None, none: bool, **given: Any) -> None:
    wanted = node_name(name)
    with connect() as store:
        if none:
            nodes.clear_fence(store, wanted)
            click.echo(translate("node-fence-cleared", node=wanted))
            return
        if agent is None:
            raise BadInput("agent", "node-fence-agent-missing")
        nodes.known(store, wanted)
        secrets = _secrets(sys.stdin.read()) if given["secrets_stdin"] else {}
        spec = _spec(wanted, agent, secrets, given)
        if given["check"]:
            said = fences.ask(store, spec, secrets)
            click.echo(translate("node-fence-read", node=wanted, agent=agent, on="yes" if said.on else "no"))
        nodes.set_fence(store, spec)
    click.echo(translate("node-fence-set", node=wanted, agent=agent))


def _spec(wanted: NodeName, agent: str, secrets: Mapping[str, str], given: Mapping[str, Any]) -> FenceSpec:
    """The record to write, its secrets sealed; raise BadInput."""
    _no_secrets(given["parameters"])
    fields: dict[str, Any] = {
        "node": wanted, "agent": agent, "parameters": _pairs(given["parameters"]), "sealed": _sealed(secrets),
        "timeout": given["timeout"], "delay": given["delay"],
    }  # fmt: skip
    try:
        return FenceSpec.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(str(first["loc"][0]), "node-fence-bad-field", detail=first["msg"]) from error


def _pairs(lines: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE each. A value may be a secret: it is never told again."""
    found = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = line.partition("=")
        if not equals or not name.strip() or any(not character.isprintable() for character in line):
            raise BadInput("parameter", "node-fence-not-a-pair", number=number)
        found[name.strip()] = value
    return found


def _no_secrets(lines: tuple[str, ...]) -> None:
    """What other users could read in the list of processes, and everybody in the store, is no place for a secret."""
    for line in lines:
        name = line.partition("=")[0].strip().lower()
        if any(word in name for word in _SECRET_WORDS):
            raise BadInput("parameter", "node-fence-secret-given", name=name)


def _secrets(text: str) -> dict[str, str]:
    return _pairs(tuple(line for line in text.splitlines() if line.strip()))


def _sealed(secrets: Mapping[str, str]) -> dict[str, str]:
    if not secrets:
        return {}
    from appliance.pki import sealing  # noqa: PLC0415 - cryptography is slow to load

    return {name: sealing.seal(value) for name, value in secrets.items()}
