"""etcd 3.4: the coordination store's member on this node.

Rendered as variables of etcd's environment (https://etcd.io/docs/v3.4/op-guide/configuration/).
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
    Overloaded,
    Probe,
    RenderContext,
    Rendered,
    RenderedFile,
)
from appliance.engines.etcd import probe
from appliance.engines.etcd.configuration import EtcdConfiguration, variables
from appliance.errors import BadInput
from appliance.node_file import DEFAULT_ENDPOINT

USER: Final = "etcd"
FILE: Final = "etcd.env"
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
        certificate, key, authority = (self._pki / name for name in ("etcd.crt", "etcd.key", "ca.crt"))
        # There is none on a server that stands alone, nor in a cluster of a release before.
        revoked = found if (found := self._pki / paths.REVOKED.name).exists() else None
        configuration = EtcdConfiguration(
            name=name,
            data_dir=context.volume / "etcd",
            cert_file=certificate,
            key_file=key,
            trusted_ca_file=authority,
            peer_cert_file=certificate,
            peer_key_file=key,
            peer_trusted_ca_file=authority,
            client_crl_file=revoked,
            peer_crl_file=revoked,
            **(self._alone(name) if context.node.address is None else self._among_others(context)),
        )
        text = "# Written by Posthouse; changes here are overwritten.\n" + configuration.environment()
        return {FILE: RenderedFile(text, change=Change.RESTART)}

    def check(self, context: RenderContext, folder: Path) -> None:
        try:
            configuration = EtcdConfiguration.read((folder / FILE).read_text())
        except (ValidationError, BadInput) as error:
            raise ConfigurationRefused(context.instance, " ".join(str(error).split())) from error
        if self._is_uninformed(context, configuration):
            raise ConfigurationRefused(context.instance, "the other members are not known yet")
        said = configuration
        pairs = {
            (said.cert_file, said.key_file, said.trusted_ca_file),
            (said.peer_cert_file, said.peer_key_file, said.peer_trusted_ca_file),
        }
        for files in pairs:
            if problem := self._pair_problem(*files):
                raise ConfigurationRefused(context.instance, problem)

    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        async def linearizable_read() -> None:
            await probe.ask(self._client_url, self._pki)

        async def without_majority() -> Overloaded | None:
            return await probe.without_majority(self._client_url, self._pki) if context.node.address else None

        return (Probe(probe.NAME, linearizable_read, overload=without_majority),)

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

    def _pair_problem(self, certificate: Path, key: Path, authority: Path) -> str | None:
        """Why etcd could not use this key pair, or None."""
        looked = subprocess.run(
            [sys.executable, "-m", _KEY_PAIR, *map(str, (certificate, key, authority))],
            capture_output=True, text=True, timeout=_LOOK_DEADLINE, check=False,
        )  # fmt: skip
        if looked.returncode != 0:
            return looked.stderr.strip()[-500:]
        about = key.stat()
        if about.st_gid != self._group_id(USER) or not about.st_mode & 0o040:
            return f"{key} cannot be read by the group {USER}"
        return None


def _lasting(rendered: Rendered) -> dict[str, str]:
    """The configuration without what etcd reads only while it has no data."""
    said = variables(rendered[FILE].text) if FILE in rendered else {}
    return {name: value for name, value in said.items() if not name.startswith("ETCD_INITIAL_")}
