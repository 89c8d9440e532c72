"""`posthouse cluster remove|recover`: servers that are not there any more."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

import click

from appliance import node_file
from appliance.cli.cluster_join import carry_out, need_root
from appliance.cluster.names import NodeName, node_name
from appliance.coordination import connect
from appliance.errors import BadInput
from appliance.i18n import lazy, translate
from appliance.installation import recovery, removal
from appliance.installation.alone import alone


@click.command("remove", help=lazy("cluster-remove-help"))
@click.argument("name")
@click.option("--yes", is_flag=True, help=lazy("init-yes-help"))
def cluster_remove(name: str, yes: bool) -> None:
    need_root()
    wanted = node_name(name)
    if not yes:
        click.confirm(translate("cluster-remove-confirm", name=wanted), abort=True)
    with connect() as store:
        removal.remove(store, node_file.read(), wanted)
    click.echo(translate("cluster-remove-done", name=wanted))


@click.command("recover", help=lazy("cluster-recover-help"))
@click.option("--off", "off_names", multiple=True, help=lazy("cluster-recover-off-help"))
def cluster_recover(off_names: tuple[str, ...]) -> None:
    with alone() if os.geteuid() == 0 else nullcontext():
        need_root()
        me = node_file.read()
        lost = recovery.lost_voters(me)
        off = [node_name(name) for name in off_names] if off_names else ask(lost)
        recovery.check(lost, off)
        carry_out(recovery.steps(me, off), as_json=False)
    click.echo(translate("cluster-recover-done", names=", ".join(off)))


def ask(lost: tuple[NodeName, ...]) -> list[NodeName]:
    """Have the operator type the name of each server that is off."""
    if not sys.stdin.isatty():
        raise BadInput("off", "cluster-recover-others", wanted=", ".join(lost), given="-")
    click.echo(translate("cluster-recover-warning", names=", ".join(lost)))
    return [node_name(click.prompt(translate("cluster-recover-prompt", name=name))) for name in lost]
