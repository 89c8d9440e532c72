"""etcd 3.4: the coordination store's member on this node.

Rendered as etcd's configuration file (https://etcd.io/docs/v3.4/op-guide/configuration/).
etcd has no way to check a configuration without starting, and it ignores names it does
not know; so `check` holds the file against our own model of it, and looks at the key
pair the way etcd will: a pair that does not match, or that the user etcd cannot read.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from appliance import durable_files, paths
from appliance.cluster.names import EngineName, NodeName, Seconds
from appliance.coordination import addresses
from appliance.engines.base import (
    Change,
    ConfigurationRefused,
    Directory,
    Engine,
    Facts,
    Probe,
    RenderContext,
    Rendered,
    RenderedFile,
)
from appliance.engines.etcd import probe
from appliance.engines.etcd.configuration import EtcdConfiguration, TransportSecurity
from appliance.errors import BadInput
from appliance.node_file import DEFAULT_ENDPOINT

USER: Final = "etcd"
FILE: Final = "etcd.yml"
PEER_URL: Final = "https://127.0.0.1:2380"
_KEY_PAIR: Final = "appliance.engines.etcd.key_pair"
_LOOK_DEADLINE: Final = Seconds(20.0)


class Etcd(Engine):
    """The engine. Its arguments are only given by tests."""

    facts = Facts(name=EngineName("etcd"), packages=("etcd-server",), default_units=("etcd.service", "etcd2.service"))

    def __init__(
        self,
        pki: Path = paths.PKI,
        client_url: str = DEFAULT_ENDPOINT,
        peer_url: str = PEER_URL,
        group_id: Callable[[str], int] = durable_files.group_id,
    ) -> None:
        self._pki = pki
        self._client_url = client_url
        self._peer_url = peer_url
        self._group_id = group_id

    def directories(self, context: RenderContext) -> tuple[Directory, ...]:
        return (
            Directory(context.volume),
            # etcd itself insists on 0700.
            Directory(context.volume / "etcd", USER, USER, 0o700),
        )

    def render(self, context: RenderContext) -> Rendered:
        name = context.node.name
        tls = TransportSecurity(
            cert_file=self._pki / "etcd.crt", key_file=self._pki / "etcd.key", trusted_ca_file=self._pki / "ca.crt"
        )
        configuration = EtcdConfiguration(
            name=name,
            data_dir=context.volume / "etcd",
            client_transport_security=tls,
            peer_transport_security=tls,
            **(self._alone(name) if context.node.address is None else self._among_others(context)),
        )
        text = "# Written by Posthouse; changes here are overwritten.\n" + yaml.safe_dump(
            configuration.model_dump(mode="json", by_alias=True), sort_keys=False
        )
        return {FILE: RenderedFile(text, change=Change.RESTART)}

    def check(self, context: RenderContext, folder: Path) -> None:
        try:
            configuration = EtcdConfiguration.model_validate(yaml.safe_load((folder / FILE).read_text()))
        except (yaml.YAMLError, ValidationError, BadInput) as error:
            raise ConfigurationRefused(context.instance, " ".join(str(error).split())) from error
        if self._is_uninformed(context, configuration):
            raise ConfigurationRefused(context.instance, "the other members are not known yet")
        for security in {configuration.client_transport_security, configuration.peer_transport_security}:
            if problem := self._pair_problem(security):
                raise ConfigurationRefused(context.instance, problem)

    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        async def linearizable_read() -> None:
            await probe.ask(self._client_url, self._pki)

        return (Probe(probe.NAME, linearizable_read),)

    def change(self, old: Rendered, new: Rendered) -> Change:
        """Nothing is asked of a member when only what it reads once has changed."""
        return Change.NONE if _lasting(old) == _lasting(new) else super().change(old, new)

    def _alone(self, name: NodeName) -> dict[str, Any]:
        return {
            "listen_client_urls": self._client_url,
            "advertise_client_urls": self._client_url,
            "listen_peer_urls": self._peer_url,
            "initial_advertise_peer_urls": self._peer_url,
            "initial_cluster": f"{name}={self._peer_url}",
        }

    def _among_others(self, context: RenderContext) -> dict[str, Any]:
        """A member with an address never begins a store: the first server's data is there, the others' comes."""
        node = context.node
        assert node.address is not None
        client, peer = addresses.client_url(node.address), addresses.peer_url(node.address)
        others = () if node.voter else context.nodes.values()
        members = {each.name: each.address for each in others if each.voter and each.address}
        return {
            "listen_client_urls": f"{self._client_url},{client}",
            "advertise_client_urls": client,
            "listen_peer_urls": f"{self._peer_url},{peer}",
            "initial_advertise_peer_urls": peer,
            "initial_cluster": ",".join(
                f"{name}={addresses.peer_url(address)}"
                for name, address in sorted({**members, node.name: node.address}.items())
            ),
            "initial_cluster_state": "existing",
            "heartbeat_interval": 100,
            "election_timeout": 1000,
        }

    def _is_uninformed(self, context: RenderContext, configuration: EtcdConfiguration) -> bool:
        """Whether a member that has no data yet would not find the others."""
        is_new = configuration.initial_cluster_state == "existing" and not (context.volume / "etcd/member").exists()
        return is_new and "," not in configuration.initial_cluster

    def _pair_problem(self, security: TransportSecurity) -> str | None:
        """Why etcd could not use this key pair, or None."""
        files = (security.cert_file, security.key_file, security.trusted_ca_file)
        looked = subprocess.run(
            [sys.executable, "-m", _KEY_PAIR, *map(str, files)],
            capture_output=True, text=True, timeout=_LOOK_DEADLINE, check=False,
        )  # fmt: skip
        if looked.returncode != 0:
            return looked.stderr.strip()[-500:]
        about = security.key_file.stat()
        if about.st_gid != self._group_id(USER) or not about.st_mode & 0o040:
            return f"{security.key_file} cannot be read by the group {USER}"
        return None


def _lasting(rendered: Rendered) -> Any:
    """The configuration without what etcd reads only while it has no data."""
    data = yaml.safe_load(rendered[FILE].text) if FILE in rendered else None
    return {name: value for name, value in (data or {}).items() if not name.startswith("initial-")}
