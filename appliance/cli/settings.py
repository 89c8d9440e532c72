"""`posthouse settings`: list, show, set and reset parameters at every scope."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import click

from appliance import paths
from appliance.cli.output import Column, details, emit, json_option
from appliance.cluster.names import LOCAL_GROUP, MAIL_GROUP, GroupName
from appliance.coordination import connect
from appliance.errors import BadInput
from appliance.i18n import lazy, translate
from appliance.settings.layers import Owner
from appliance.settings.parameter import Apply, Parameter, Scope
from appliance.settings.registry import SECTIONS, parameter
from appliance.settings.service import Change, Reading, SettingsService, owners_of
from appliance.settings.surroundings import refuse_above_free_space

Command = TypeVar("Command", bound=Callable[..., Any])


def owner_options(command: Command) -> Command:
    """Add --node, --group, --domain and --mailbox."""
    for name in ("mailbox", "domain", "group", "node"):
        command = click.option(f"--{name}", metavar=name.upper(), help=lazy(f"settings-option-{name}"))(command)
    return command


@click.group(help=lazy("settings-help"))
def settings() -> None: ...


@settings.command("list", help=lazy("settings-list-help"))
@click.option("--section", help=lazy("settings-option-section"))
@click.option("--scope", type=click.Choice([scope.value for scope in Scope]), help=lazy("settings-option-scope"))
@click.option("--changed", is_flag=True, help=lazy("settings-option-changed"))
@owner_options
@json_option
def list_settings(section: str | None, scope: str | None, changed: bool, as_json: bool, **owners: str | None) -> None:
    if section is not None and section not in SECTIONS:
        raise BadInput("section", "setting-unknown-section", name=section, sections=", ".join(SECTIONS))
    chain = owners_of(**owners)
    with service(chain) as opened:
        readings = [
            reading
            for reading in opened.readings(chain)
            if (section is None or reading.parameter.section == section)
            and (scope is None or Scope(scope) in reading.parameter.scopes)
            and (not changed or reading.effective.origin is not None)
        ]
    if as_json:
        emit([as_data(reading) for reading in readings], True, ())
    else:
        emit(readings, False, _COLUMNS)
    _warn(readings)


@settings.command("show", help=lazy("settings-show-help"))
@click.argument("name")
@owner_options
@json_option
def show(name: str, as_json: bool, **owners: str | None) -> None:
    parameter(name)
    chain = owners_of(**owners)
    with service(chain) as opened:
        reading = opened.reading(name, chain)
    emit(as_data(reading), as_json, lambda: page(reading))
    _warn([reading])


@settings.command("set", help=lazy("settings-set-help"), context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("value", required=False)
@click.option("--stdin", "from_stdin", is_flag=True, help=lazy("settings-option-stdin"))
@owner_options
@json_option
def set_value(name: str, value: str | None, from_stdin: bool, as_json: bool, **owners: str | None) -> None:
    owner = _one_owner(name, owners)
    text = _given(parameter(name), value, from_stdin)
    _refuse_here(parameter(name), text, owner)
    with service((owner,)) as opened:
        change = opened.set(name, text, owner)
    emit(_change_data(change), as_json, lambda: [_done_set(change)])


@settings.command("reset", help=lazy("settings-reset-help"))
@click.argument("name")
@owner_options
@json_option
def reset(name: str, as_json: bool, **owners: str | None) -> None:
    owner = _one_owner(name, owners)
    with service((owner,)) as opened:
        change = opened.reset(name, owner)
    emit(_change_data(change), as_json, lambda: [_done_reset(change)])


@contextmanager
def service(owners: Iterable[Owner]) -> Iterator[SettingsService]:
    """Open the store, and the directory when one of `owners` lives there."""
    with ExitStack() as stack:
        store = stack.enter_context(connect())
        if not any(owner.scope in {Scope.DOMAIN, Scope.MAILBOX} for owner in owners):
            yield SettingsService(store)
            return
        from appliance.directory.service import DirectoryService  # noqa: PLC0415 - only these need LDAP

        yield SettingsService(store, stack.enter_context(DirectoryService.connect()))


def origin_text(owner: Owner | None) -> str:
    """Where a value comes from, for people."""
    if owner is None:
        return translate("setting-scope-default")
    return translate(f"setting-scope-{owner.scope}", name=owner.name)


def value_text(found: Parameter, value: Any) -> str:
    """A value with its unit, for people."""
    text = found.format(value)
    return f"{text} {found.unit_text}".rstrip() if text else translate("settings-empty")


def as_data(reading: Reading) -> dict[str, Any]:
    """Everything about a parameter, for programs."""
    found, origin = reading.parameter, reading.effective.origin
    return {
        "name": found.name,
        "title": found.title,
        "help": found.help,
        "kind": found.kind.name,
        "unit": found.unit_text or None,
        "bounds": found.kind.bounds or None,
        "scopes": found.scopes,
        "apply": found.apply,
        "default": found.default,
        "value": _shown(found, reading.effective.value),
        "text": found.format(reading.effective.value),
        "origin": None if origin is None else {"scope": origin.scope, "name": origin.name},
        "refused": [str(refused) for refused in reading.effective.refused],
    }


def _shown(found: Parameter, value: Any) -> Any:
    """The value for programs; of a secret only whether there is one."""
    return found.format(value) if found.kind.is_secret else value


def page(reading: Reading) -> list[str]:
    """The screen of one parameter."""
    found = reading.parameter
    pairs: list[tuple[str, object]] = [
        (translate("settings-label-title"), found.title),
        (translate("settings-label-help"), found.help),
        (translate("settings-label-kind"), translate(f"setting-kind-{found.kind.name}")),
        (translate("settings-label-unit"), found.unit_text or None),
        (translate("settings-label-bounds"), found.kind.bounds or None),
        (translate("settings-label-scopes"), ", ".join(found.scopes)),
        (translate("settings-label-applies"), translate(f"setting-applies-{found.apply}")),
        (translate("settings-label-default"), value_text(found, found.default)),
    ]
    for owner, stored in reading.layers:
        label = translate("settings-label-layer", owner=origin_text(owner))
        pairs.append((label, translate("settings-not-set") if stored is None else _stored_text(found, stored)))
    effective = reading.effective
    value = f"{value_text(found, effective.value)} ({origin_text(effective.origin)})"
    pairs.append((translate("settings-label-value"), value))
    return [found.name, *details(pairs, indent=2)]


def _stored_text(found: Parameter, stored: str) -> str:
    try:
        return value_text(found, found.load(stored))
    except BadInput:
        return stored


_COLUMNS = (
    Column("settings-column-name", lambda reading: reading.parameter.name),
    Column("settings-column-value", lambda reading: value_text(reading.parameter, reading.effective.value)),
    Column("settings-column-origin", lambda reading: origin_text(reading.effective.origin)),
    Column("settings-column-title", lambda reading: reading.parameter.title),
)


def _one_owner(name: str, owners: dict[str, str | None]) -> Owner:
    if sum(owner is not None for owner in owners.values()) > 1:
        raise BadInput(name, "setting-one-owner")
    return owners_of(**owners)[-1]


def _given(found: Parameter, value: str | None, from_stdin: bool) -> str:
    """The value as it was given: a secret by standard input or at a prompt, never where other users could see it."""
    if found.kind.is_secret and value is not None:
        raise BadInput(found.name, "settings-secret-on-command-line")
    if from_stdin is (value is None):
        if value is not None:
            return value
        return str(sys.stdin.readline()).rstrip("\r\n")
    if value is None and found.kind.is_secret and sys.stdin.isatty():
        return str(click.prompt(found.title, hide_input=True, confirmation_prompt=True))
    raise BadInput(found.name, "settings-one-value")


def _refuse_here(found: Parameter, text: str, owner: Owner) -> None:
    """Refuse what this node's volume cannot bear, when the value is for it and the volume is here."""
    if found.name != "smtp.message_size_limit":
        return
    volume = paths.volume(GroupName(owner.name) if owner.scope is Scope.GROUP else MAIL_GROUP)
    if volume.exists() and volume != paths.volume(LOCAL_GROUP):
        limit = found.parse(text)
        refuse_above_free_space(limit, found.format(limit), str(volume), shutil.disk_usage(volume).free)


def _change_data(change: Change) -> dict[str, Any]:
    return {
        "name": change.parameter.name,
        "scope": change.owner.scope,
        "owner": change.owner.name,
        "changed": change.changed,
        "value": _shown(change.parameter, change.effective.value),
        "text": change.parameter.format(change.effective.value),
        "apply": _applies(change),
    }


def _applies(change: Change) -> Apply:
    """A mailbox exists already, so what is set for it alone counts at once."""
    return Apply.NOW if change.owner.scope is Scope.MAILBOX else change.parameter.apply


def _done_set(change: Change) -> str:
    found = change.parameter
    return translate(
        "settings-done-set" if change.changed else "settings-done-same",
        name=found.name,
        value=value_text(found, change.effective.value),
        owner=origin_text(change.owner),
        applies=translate(f"setting-applies-{_applies(change)}"),
    )


def _done_reset(change: Change) -> str:
    return translate(
        "settings-done-reset" if change.changed else "settings-done-reset-nothing",
        name=change.parameter.name,
        value=value_text(change.parameter, change.effective.value),
        owner=origin_text(change.owner),
        origin=origin_text(change.effective.origin),
    )


def _warn(readings: Iterable[Reading]) -> None:
    for reading in readings:
        for refused in reading.effective.refused:
            click.echo(translate("settings-warning", problem=str(refused)), err=True)
