"""Real ZooKeeper processes for the store's tests: on loopback, TLS only, with ports of their own.

Debian's `libzookeeper-java` holds the server too; the package `zookeeper` adds a service and a desktop's Java.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cluster.names import Seconds
from appliance.coordination import zookeeper_log
from appliance.coordination.store import Store
from appliance.coordination.zookeeper import ZooKeeperStore
from tests.integration.store_process import StoreProcess, free_port

JAR = Path("/usr/share/java/zookeeper.jar")
#: Beside what its manifest names: logging to a file, and the parts of Netty that only TLS needs and Debian left out.
_MORE = ("slf4j-log4j12", "log4j-1.2", "netty-codec", "netty-resolver", "netty-tcnative-classes")
_HEAP = ("-Xms32m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


@dataclass
class ZooKeeperServer(StoreProcess):
    """One member."""

    folder: Path
    pki: Path
    number: int = 1
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    election_port: int = field(default_factory=free_port)
    members: Sequence[ZooKeeperServer] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f"m{self.number}"

    @property
    def data(self) -> Path:
        return self.folder / self.name

    def command(self) -> list[str]:
        if not (self.data / "myid").exists():
            self.data.mkdir(parents=True, exist_ok=True)
            (self.data / "myid").write_text(f"{self.number}\n")
        configuration = self.folder / f"{self.name}.cfg"
        configuration.write_text(self._configuration())
        logging = self.folder / f"{self.name}.log4j"
        logging.write_text(_log4j(self.folder / f"{self.name}.log"))
        classes = ":".join([str(JAR), *(str(JAR.with_name(f"{name}.jar")) for name in _MORE)])
        program = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        options = [f"-Dlog4j.configuration=file:{logging}", "-Dzookeeper.admin.enableServer=false"]
        return ["java", *_HEAP, *options, "-cp", classes, program, str(configuration)]

    def _configuration(self) -> str:
        for name in ("etcd", "ca"):
            pem = (self.pki / f"{name}.crt").read_bytes()
            if name == "etcd":
                pem += (self.pki / "etcd.key").read_bytes()
            (self.folder / f"{name}.pem").write_bytes(pem)
        lines = {
            "dataDir": self.data,
            # An eighth of the default: elections and sessions of a loopback need no more.
            "tickTime": 500,
            "initLimit": 20,
            "syncLimit": 6,
            "secureClientPort": self.client_port,
            "secureClientPortAddress": "127.0.0.1",
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "sslQuorum": "true",
            "4lw.commands.whitelist": "srvr",
        }
        for scope in ("ssl", "ssl.quorum"):
            lines |= {
                f"{scope}.keyStore.location": self.folder / "etcd.pem",
                f"{scope}.trustStore.location": self.folder / "ca.pem",
                f"{scope}.clientAuth": "need",
                f"{scope}.protocol": "TLSv1.3",
                f"{scope}.enabledProtocols": "TLSv1.3,TLSv1.2",
            }
        if self.members:
            lines |= {
                f"server.{each.number}": f"127.0.0.1:{each.peer_port}:{each.election_port}" for each in self.members
            }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    def store(self, *, deadline: float = 3.0) -> ZooKeeperStore:
        return self.store_of([self], deadline=deadline)

    def store_of(self, members: Sequence[StoreProcess], *, deadline: float = 3.0) -> ZooKeeperStore:
        return ZooKeeperStore([member.endpoint for member in members], self.pki, deadline=Seconds(deadline))

    def leads(self) -> bool:
        return b"Mode: leader" in self.ask(b"srvr")

    def ask(self, word: bytes) -> bytes:
        """The answer to one of ZooKeeper's four letter words."""
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        context.check_hostname = False
        context.load_cert_chain(self.pki / "node.crt", self.pki / "node.key")
        with (
            socket.create_connection(("127.0.0.1", self.client_port), 5) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(word)
            return b"".join(iter(lambda: connection.recv(4096), b""))

    def compact(self, store: Store, revision: int) -> None:
        """As the log is forgotten by writing on, only sooner."""
        assert isinstance(store, ZooKeeperStore)
        kept, zookeeper_log.KEPT = zookeeper_log.KEPT, 1
        try:
            while store.confirmed_head(time.monotonic() + 5).oldest <= revision:
                store.put("/compacting", "")
        finally:
            zookeeper_log.KEPT = kept

    @classmethod
    def members_of(cls, folder: Path, pki: Path, count: int) -> list[ZooKeeperServer]:
        servers = [cls(folder, pki, number + 1) for number in range(count)]
        for server in servers:
            server.members = servers
        return servers


def _log4j(path: Path) -> str:
    return (
        "log4j.rootLogger=INFO, FILE\n"
        "log4j.appender.FILE=org.apache.log4j.FileAppender\n"
        f"log4j.appender.FILE.File={path}\n"
        "log4j.appender.FILE.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.FILE.layout.ConversionPattern=%d %p %c{1} %m%n\n"
    )
