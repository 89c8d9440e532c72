"""The `posthouse` command. Sub-commands load on use, so that `--help` and completion stay quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping

import click

from appliance.cli import words
from appliance.cli.output import printable
from appliance.errors import NotFound, PosthouseError, Unavailable
from appliance.i18n import lazy

words.speak()  # before any command is made

#: command -> module:attribute of its click command
COMMANDS: Mapping[str, str] = {
    "alert": "appliance.cli.alert:alert",
    "alias": "appliance.cli.alias:alias",
    "cluster": "appliance.cli.cluster:cluster",
    "dns": "appliance.cli.dns:dns",
    "domain": "appliance.cli.domain:domain",
    "events": "appliance.cli.events:events",
    "group": "appliance.cli.group:group",
    "init": "appliance.cli.init:init",
    "mailbox": "appliance.cli.mailbox:mailbox",
    "migrate": "appliance.cli.migrate:migrate",
    "node": "appliance.cli.node_actions:node",
    "queue": "appliance.cli.queue:queue",
    "service": "appliance.cli.service:service",
    "settings": "appliance.cli.settings:settings",
    "status": "appliance.cli.status:status",
    "tls": "appliance.cli.tls:tls",
    "work": "appliance.cli.work:work",
}


class LazyGroup(click.Group):
    """A click group whose members are imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, help=lazy("posthouse-help"))
@click.version_option(package_name="posthouse", help=lazy("click-version-option"))
def posthouse() -> None:
    pass


def told(error: PosthouseError) -> PosthouseError:
    """The error to tell: on a server that was never set up, that is why nothing answers."""
    if isinstance(error, Unavailable):
        from appliance import node_file  # noqa: PLC0415 - commands that go well do not pay for it

        try:
            node_file.read()
        except NotFound as missing:
            return missing
        except PosthouseError:
            pass
    return error


def main() -> None:
    """Entry point: an expected error is one clear line on standard error and its own exit code."""
    try:
        # what a command raises as click's Exit comes back as a number
        ended = posthouse.main(standalone_mode=False)
        sys.exit(ended if isinstance(ended, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except PosthouseError as failure:
        told_error = told(failure)
        # what was refused may hold control characters: it must not drive the reader's terminal
        click.echo("\n".join(printable(line) for line in f"posthouse: {told_error}".split("\n")), err=True)
        sys.exit(told_error.exit_code)
