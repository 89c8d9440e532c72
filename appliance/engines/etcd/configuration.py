"""What we say to etcd, by its own names, as variables of its environment.

Not as its configuration file: that knows no word for whom a member accepts as another member
(`--peer-cert-allowed-hostname`), and every node's certificate is of our authority. Variables that etcd does not know
it ignores, so the model refuses every other one (https://etcd.io/docs/v3.4/op-guide/configuration/).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.node_file import STORE_NAME, endpoint_address


def _endpoint(urls: str) -> str:
    for url in urls.split(","):
        endpoint_address(url)
    return urls


#: One or several by commas.
Url = Annotated[str, AfterValidator(_endpoint)]


def _always(value: bool) -> bool:
    if not value:
        raise ValueError("client-cert-auth: who shows no certificate is nobody")
    return value


Always = Annotated[bool, AfterValidator(_always)]

_GIB = 1 << 30
_PREFIX = "ETCD_"


class EtcdConfiguration(BaseModel):
    """Everything that is said.

    History is kept for an hour: the node sessions write every 2 s, and nothing reads further back
    than a watch that was away for a while. Snapshots every 10,000 entries instead of 100,000 keep
    the log short and the start quick. `quota-backend-bytes` is far above what a cluster needs (some MB).
    A member that is alone waits up to twice `election-timeout` for nobody when it starts again, so that is
    half of etcd's default; members on several servers need the default (1000) for their network.
    What begins with `initial_` etcd reads only while it has no data.

    Mutual TLS on both ports. etcd reads the pairs anew for each connection: renewing needs no restart. Another member
    has to carry the store's name, which no certificate of another node does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    data_dir: Path
    listen_client_urls: Url
    advertise_client_urls: Url
    listen_peer_urls: Url
    initial_advertise_peer_urls: Url
    initial_cluster: str
    initial_cluster_state: Literal["new", "existing"] = "new"
    initial_cluster_token: str = "posthouse"  # noqa: S105 - a name, no secret
    cert_file: Path
    key_file: Path
    trusted_ca_file: Path
    client_cert_auth: Always = True
    peer_cert_file: Path
    peer_key_file: Path
    peer_trusted_ca_file: Path
    peer_client_cert_auth: Always = True
    # Read anew for each connection too; without the file nobody would be let in.
    client_crl_file: Path | None = None
    peer_crl_file: Path | None = None
    peer_cert_allowed_hostname: Literal["store.posthouse.internal"] = STORE_NAME
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
    enable_grpc_gateway: bool = False
    logger: Literal["zap"] = "zap"
    log_level: Literal["info", "warn"] = "warn"
    log_outputs: Literal["stderr"] = "stderr"

    def environment(self) -> str:
        """As a file of variables (systemd.exec(5), EnvironmentFile=)."""
        said = self.model_dump(mode="json", exclude_none=True)
        values = {name: str(value) for name, value in said.items()}
        return "".join(
            f"{_PREFIX}{name.upper()}={value.lower() if value in ('True', 'False') else value}\n"
            for name, value in values.items()
        )

    @classmethod
    def read(cls, text: str) -> EtcdConfiguration:
        """Read it back; raises ValidationError, BadInput, also for a variable that is not among ours."""
        return cls.model_validate(
            {name.removeprefix(_PREFIX).lower(): value for name, value in variables(text).items()}
        )


def variables(text: str) -> dict[str, str]:
    """The variables of such a file."""
    lines = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines}
