"""Real etcd processes for the store's tests: on loopback, over TLS, with ports of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cluster.names import Seconds
from appliance.coordination.connection import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.rpc import rpc_pb2, rpc_pb2_grpc
from appliance.coordination.store import Store
from appliance.node_file import STORE_NAME
from appliance.pki.authority import Authority, Profile
from appliance.pki.pairs import PairSlot
from appliance.pki.upkeep import LOOPBACK, authority_paths
from tests.integration.store_process import StoreProcess, free_port, wait_until_ready

__all__ = ["EtcdServer", "free_port", "make_keys", "wait_until_ready"]


def make_keys(folder: Path, authority: Authority | None = None) -> Authority:
    """An authority with a client's and a store member's pair in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = authority or Authority.create("test.example.com")
    authority_paths(folder)[0].write_bytes(made.pair().certificate)
    PairSlot(folder, "node").write(made.issue(Profile.NODE, "n1", ["localhost"], LOOPBACK))
    PairSlot(folder, "etcd").write(made.issue(Profile.NODE, "n1", ["localhost", STORE_NAME], LOOPBACK))
    return made


@dataclass
class EtcdServer(StoreProcess):
    """One member."""

    folder: Path
    pki: Path
    name: str = "m1"
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    initial_cluster: str | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / self.name

    @property
    def peer(self) -> str:
        return f"https://127.0.0.1:{self.peer_port}"

    def command(self) -> list[str]:
        tls = ["--cert-file", "--key-file", "--trusted-ca-file"]
        files = [str(self.pki / "etcd.crt"), str(self.pki / "etcd.key"), str(self.pki / "ca.crt")]
        command = ["etcd", "--name", self.name, "--data-dir", str(self.data), "--logger", "zap"]
        command += ["--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint]
        command += ["--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer]
        command += ["--initial-cluster", self.initial_cluster or f"{self.name}={self.peer}"]
        command += ["--client-cert-auth", "--peer-client-cert-auth", "--heartbeat-interval", "100"]
        command += ["--log-outputs", str(self.folder / f"{self.name}.log")]
        for option, value in zip(tls, files, strict=True):
            command += [option, value, option.replace("--", "--peer-"), value]
        return command

    def store(self, *, deadline: float = 3.0) -> EtcdStore:
        return self.store_of([self], deadline=deadline)

    def store_of(self, members: Sequence[StoreProcess], *, deadline: float = 3.0) -> EtcdStore:
        return EtcdStore([member.endpoint for member in members], Keys.read(self.pki), deadline=Seconds(deadline))

    def leads(self) -> bool:
        with self.store() as asked:
            stub = rpc_pb2_grpc.MaintenanceStub(asked._connection.channel)
            status = stub.Status(rpc_pb2.StatusRequest(), timeout=5, wait_for_ready=True)
            return bool(status.leader == status.header.member_id)

    def compact(self, store: Store, revision: int) -> None:
        assert isinstance(store, EtcdStore)
        rpc_pb2_grpc.KVStub(store._connection.channel).Compact(
            rpc_pb2.CompactionRequest(revision=revision, physical=True), timeout=10
        )

    @classmethod
    def members_of(cls, folder: Path, pki: Path, count: int) -> list[EtcdServer]:
        servers = [cls(folder, pki, f"m{number + 1}") for number in range(count)]
        everyone = ",".join(f"{server.name}={server.peer}" for server in servers)
        for server in servers:
            server.initial_cluster = everyone
        return servers
