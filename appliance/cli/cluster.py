"""`posthouse cluster`: what concerns the cluster as a whole."""

from __future__ import annotations

import click

from appliance.cli.cluster_join import cluster_begin, cluster_join, cluster_token
from appliance.cli.cluster_leave import cluster_recover, cluster_remove
from appliance.cli.cluster_status import cluster_status
from appliance.i18n import lazy


@click.group(help=lazy("cluster-help"))
def cluster() -> None:
    pass


for command in (cluster_status, cluster_begin, cluster_token, cluster_join, cluster_remove, cluster_recover):
    cluster.add_command(command)
