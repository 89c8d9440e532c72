"""What we say in etcd's configuration file, by etcd's own names.

Names that etcd does not know it ignores without a word, so the model refuses every other
one (https://github.com/etcd-io/etcd/blob/release-3.4/etcd.conf.yml.sample).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.node_file import endpoint_address


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _endpoint(urls: str) -> str:
    for url in urls.split(","):
        endpoint_address(url)
    return urls


#: One or several by commas.
Url = Annotated[str, AfterValidator(_endpoint)]

_GIB = 1 << 30


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_kebab, populate_by_name=True)


class TransportSecurity(_Section):
    """Mutual TLS of the client or the peer port. etcd reads the pair anew for each connection: renewing needs
    no restart."""

    cert_file: Path
    key_file: Path
    trusted_ca_file: Path
    client_cert_auth: Literal[True] = True


class EtcdConfiguration(_Section):
    """The whole file.

    History is kept for an hour: the node sessions write every 2 s, and nothing reads further back
    than a watch that was away for a while. Snapshots every 10,000 entries instead of 100,000 keep
    the log short and the start quick. `quota-backend-bytes` is far above what a cluster needs (some MB).
    A member that is alone waits up to twice `election-timeout` for nobody when it starts again, so that is
    half of etcd's default; members on several servers need the default (1000) for their network.
    What begins with `initial-` etcd reads only while it has no data.
    """

    name: str
    data_dir: Path
    listen_client_urls: Url
    advertise_client_urls: Url
    listen_peer_urls: Url
    initial_advertise_peer_urls: Url
    initial_cluster: str
    initial_cluster_state: Literal["new", "existing"] = "new"
    initial_cluster_token: str = "posthouse"  # noqa: S105 - a name, no secret
    client_transport_security: TransportSecurity
    peer_transport_security: TransportSecurity
    heartbeat_interval: Annotated[int, Field(ge=50, le=1000)] = 50
    election_timeout: Annotated[int, Field(ge=500, le=50_000)] = 500
    snapshot_count: int = 10_000
    max_snapshots: int = 3
    max_wals: int = 3
    auto_compaction_mode: Literal["periodic"] = "periodic"
    auto_compaction_retention: str = "1h"
    quota_backend_bytes: int = _GIB
    strict_reconfig_check: bool = True
    enable_v2: bool = False
    # JSON over HTTP for the same calls: nobody here speaks it.
    enable_grpc_gateway: Literal[False] = False
    logger: Literal["zap"] = "zap"
    log_level: Literal["info", "warn"] = "warn"
    log_outputs: tuple[str, ...] = ("stderr",)
