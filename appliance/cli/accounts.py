"""What the commands about domains, mailboxes and aliases share: reading passwords, printing lists and pages.

A password never stands on a command line: it is asked for, comes on standard input,
or is made up and shown once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import click

from appliance.cli.output import Column, plain, table
from appliance.directory import passwords
from appliance.directory.model import KEEP, Keep, Status
from appliance.errors import BadInput, PosthouseError
from appliance.i18n import lazy, translate
from appliance.settings.units import format_size

Command = TypeVar("Command", bound=Callable[..., Any])

#: How many rows a person is shown when nothing else is asked for.
SHOWN = 500
_MAX_INPUT = 4096


@dataclass(frozen=True)
class GivenPassword:
    """What was given: a clear password or a hash, or neither. `generated` is what to show the operator."""

    clear: str | None = None
    hashed: str | None = None
    generated: str | None = None


def password_options(command: Command) -> Command:
    """Add the ways to give a password; `given_password` turns them into one."""
    for name in ("password-stdin", "password-hash-stdin", "generate"):
        command = click.option(f"--{name}", is_flag=True, help=lazy(f"account-option-{name}"))(command)
    return command


def given_password(
    password_stdin: bool, password_hash_stdin: bool, generate: bool, none: bool = False
) -> GivenPassword:
    """The password that the options say, asked for when they say nothing. Raises BadInput."""
    if sum((password_stdin, password_hash_stdin, generate, none)) > 1:
        raise BadInput(passwords.FIELD, "password-one-way")
    if none:
        return GivenPassword()
    if generate:
        made = passwords.generated()
        return GivenPassword(clear=made, generated=made)
    if password_hash_stdin:
        return GivenPassword(hashed=_line())
    if password_stdin:
        return GivenPassword(clear=_line())
    if not sys.stdin.isatty():
        raise BadInput(passwords.FIELD, "password-missing")
    prompt = translate("password-prompt")
    again = translate("password-prompt-again")
    return GivenPassword(clear=click.prompt(prompt, hide_input=True, confirmation_prompt=again))


def switch(on: bool, off: bool, field: str) -> bool | Keep:
    """What a pair of opposite flags says: True, False, or nothing. Raises BadInput when both are given."""
    if on and off:
        raise BadInput(field, "account-both-ways")
    return True if on else False if off else KEEP


def cleared(text: str | None) -> str | Keep | None:
    """An option that changes a text: not given leaves it, empty clears it."""
    return KEEP if text is None else (text or None)


def emit_list(
    rows: Iterable[Any], as_json: bool, columns: Sequence[Column], limit: int | None = None, *, complete: bool = True
) -> None:
    """Print rows as one JSON array, written as they come, or as a table of at most `limit` (SHOWN) rows.

    Says so on standard error when there are more.
    """
    if as_json:
        more = _emit_json(rows, limit)
    else:
        bound = SHOWN if limit is None else limit
        shown, more = _some(rows, bound)
        for line in table(shown, columns):
            click.echo(line)
    if more or not complete:
        click.echo(translate("account-more"), err=True)


def confirm(key: str, yes: bool, **facts: Any) -> None:
    """Ask before what cannot be undone, unless `--yes` was given. Raises BadInput where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput("yes", "account-needs-yes")
    click.confirm(translate(key, **facts), abort=True)


def quota_text(quota: int) -> str:
    """A quota for people."""
    return format_size(quota) if quota else translate("account-unlimited")


def status_text(status: Status) -> str:
    """A status for people."""
    return translate(f"account-status-{status.value}")


def failures(outcomes: Iterable[tuple[str, PosthouseError | None]]) -> Iterator[str]:
    """One line for each failure: what, and why."""
    return (f"{what}: {error}" for what, error in outcomes if error is not None)


def _some(rows: Iterable[Any], limit: int) -> tuple[list[Any], bool]:
    """At most `limit` rows (0: all), and whether there are more."""
    if limit == 0:
        return list(rows), False
    found = list(islice(rows, limit + 1))
    return found[:limit], len(found) > limit


def _emit_json(rows: Iterable[Any], limit: int | None) -> bool:
    """Write an array one element a line; return whether rows were left out."""
    more, first = False, True
    for number, row in enumerate(rows):
        if limit and number >= limit:
            more = True
            break
        click.echo(("[\n" if first else ",\n") + json.dumps(plain(row), ensure_ascii=False), nl=False)
        first = False
    click.echo("[]" if first else "\n]")
    return more


def _line() -> str:
    """The first line of standard input, without its end; raises BadInput."""
    raw = sys.stdin.buffer.readline(_MAX_INPUT + 1)
    if len(raw) > _MAX_INPUT:
        raise BadInput(passwords.FIELD, "password-too-long", maximum=passwords.MAX_BYTES)
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadInput(passwords.FIELD, "password-not-utf8") from None
    if not text:
        raise BadInput(passwords.FIELD, "password-missing")
    return text
