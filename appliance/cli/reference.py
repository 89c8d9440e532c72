"""The command line's reference page, made from the commands themselves.

Only plain attributes of click's objects are used, so that the page does not change with click's release.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import click

from appliance.cli.main import COMMANDS, posthouse


def page() -> str:
    """Every command in Markdown, in the language in force when the commands were first imported."""
    lines = [
        "# Command line reference",
        "",
        "Generated from the commands by `python -m appliance.settings.reference`; do not edit.",
        "Every command explains itself with `--help`. Exit codes: 0 done, 1 failed, 2 refused input, 3 not found,",
        "4 exists already, 75 a part does not answer and trying again later may work.",
    ]
    context = click.Context(posthouse, info_name="posthouse")
    for name, target in sorted(COMMANDS.items()):
        if find_spec(target.partition(":")[0]) is not None:
            command = posthouse.get_command(context, name)
            assert command is not None
            lines += _lines(command, f"posthouse {name}", depth=2)
    return "\n".join([*lines, ""])


def _lines(command: click.Command, path: str, depth: int) -> Iterator[str]:
    arguments = [_usage(each) for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    yield ""
    yield f"{'#' * depth} {path}"
    yield ""
    if not isinstance(command, click.Group):
        yield f"`{' '.join([path, *(['[OPTIONS]'] if options else []), *arguments])}`"
        yield ""
    yield str(command.help or "").strip()
    if options:
        yield ""
        yield from (f"- `{_names(each)}`: {each.help or ''}".rstrip(": ") for each in options)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            if not command.commands[name].hidden:
                yield from _lines(command.commands[name], f"{path} {name}", min(depth + 1, 4))


def _usage(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    many = "..." if argument.nargs == -1 else ""
    return f"{name}{many}" if argument.required else f"[{name}]{many}"


def _names(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    if option.metavar:
        return f"{names} {option.metavar}"
    kind = option.type
    shown = "|".join(str(choice) for choice in kind.choices) if isinstance(kind, click.Choice) else kind.name.upper()
    return f"{names} {shown}"
