"""`posthouse cluster`: what concerns the cluster as a whole."""

from __future__ import annotations

import click

from appliance.cli.cluster_status import cluster_status
from appliance.i18n import lazy


@click.group(help=lazy("cluster-help"))
def cluster() -> None:
    pass


cluster.add_command(cluster_status)
