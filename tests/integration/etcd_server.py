"""Real etcd processes for the store's tests: on loopback, over TLS, with ports of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cluster.names import Seconds
from appliance.coordination.connection import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.store import Store, StoreUnavailable
from appliance.node_file import STORE_NAME
from appliance.pki.authority import Authority, Profile
from appliance.pki.pairs import PairSlot
from appliance.pki.upkeep import LOOPBACK, authority_paths


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def make_keys(folder: Path, authority: Authority | None = None) -> Authority:
    """An authority with a client's and a store member's pair in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = authority or Authority.create("test.example.com")
    authority_paths(folder)[0].write_bytes(made.pair().certificate)
    PairSlot(folder, "node").write(made.issue(Profile.NODE, "n1", ["localhost"], LOOPBACK))
    PairSlot(folder, "etcd").write(made.issue(Profile.NODE, "n1", ["localhost", STORE_NAME], LOOPBACK))
    return made


@dataclass
class EtcdServer:
    """One member. Its data outlives `stop`, so `start` continues where it was."""

    folder: Path
    pki: Path
    name: str = "m1"
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    initial_cluster: str | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.client_port}"

    @property
    def peer(self) -> str:
        return f"https://127.0.0.1:{self.peer_port}"

    def start(self) -> None:
        assert self.process is None
        tls = ["--cert-file", "--key-file", "--trusted-ca-file"]
        files = [str(self.pki / "etcd.crt"), str(self.pki / "etcd.key"), str(self.pki / "ca.crt")]
        command = ["etcd", "--name", self.name, "--data-dir", str(self.folder / self.name), "--logger", "zap"]
        command += ["--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint]
        command += ["--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer]
        command += ["--initial-cluster", self.initial_cluster or f"{self.name}={self.peer}"]
        command += ["--client-cert-auth", "--peer-client-cert-auth", "--heartbeat-interval", "100"]
        command += ["--log-outputs", str(self.folder / f"{self.name}.log")]
        for option, value in zip(tls, files, strict=True):
            command += [option, value, option.replace("--", "--peer-"), value]
        environment = {"PATH": os.environ["PATH"]}
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # its last thread may still answer until then

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as in a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def store(self, *, deadline: float = 3.0) -> EtcdStore:
        return EtcdStore([self.endpoint], Keys.read(self.pki), deadline=Seconds(deadline))


def wait_until_ready(store: Store, within: float = 20.0) -> None:
    """Poll until the store answers a linearizable read."""
    ends = time.monotonic() + within
    while True:
        try:
            store.get("/ready", deadline=Seconds(1.0))
        except StoreUnavailable:
            if time.monotonic() > ends:
                raise
        else:
            return


def start_cluster(folder: Path, pki: Path, names: Sequence[str]) -> list[EtcdServer]:
    """Several members that know each other, started together."""
    servers = [EtcdServer(folder, pki, name) for name in names]
    everyone = ",".join(f"{server.name}={server.peer}" for server in servers)
    for server in servers:
        server.initial_cluster = everyone
        server.start()
    return servers
