"""The rendered configuration, on a real etcd: it starts, answers the probe, and takes a renewed certificate."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, EngineName, InstanceId, NodeName, Seconds
from appliance.coordination.connection import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.engines.base import ProbeFailed, RenderContext
from appliance.engines.etcd import Etcd
from appliance.engines.etcd.configuration import variables
from appliance.node_file import STORE_NAME
from appliance.pki.authority import Authority, Profile
from appliance.pki.pairs import PairSlot
from appliance.pki.upkeep import LOOPBACK
from tests.integration.etcd_server import free_port, make_keys, wait_until_ready

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="needs Debian's etcd-server")


class Member:
    """A member that runs from what the engine rendered."""

    def __init__(self, folder: Path) -> None:
        self.pki = folder / "pki"
        self.authority = make_keys(self.pki)
        self.port = free_port()
        self.peer_port = free_port()
        self.engine = Etcd(self.pki, f"https://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.peer_port}")
        rendered = variables(self.engine.render(context())["etcd.env"].text)
        self.environment = {**rendered, "ETCD_DATA_DIR": str(folder / "data"), "PATH": os.environ["PATH"]}
        self.command = ["etcd"]
        self.log = folder / "log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=log, env=self.environment)

    def store(self) -> EtcdStore:
        return EtcdStore([f"https://127.0.0.1:{self.port}"], Keys.read(self.pki))

    def probe(self) -> None:
        run_probes(self.engine)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def context() -> RenderContext:
    return RenderContext(
        InstanceId(EngineName("etcd"), LOCAL_GROUP),
        ServiceGroup(name=LOCAL_GROUP),
        Node(name=NodeName("n1"), roles=frozenset({Role.CONTROL})),
        "n1.example.com",
        {},
    )


def run_probes(engine: Etcd) -> None:
    async def each() -> None:
        for probe in engine.probes(context()):
            await asyncio.wait_for(probe.run(), probe.deadline)

    asyncio.run(each())


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    made = Member(tmp_path)
    with made.store() as store:
        wait_until_ready(store)
    yield made
    made.stop()


def test_etcd_runs_from_it_without_a_complaint_and_answers_the_probe(member: Member) -> None:
    member.probe()
    complaints = [line for line in member.log.read_text().splitlines() if '"level":"error"' in line]
    assert complaints == []


def test_the_probe_of_a_dead_member_fails(member: Member) -> None:
    member.stop()
    with pytest.raises(ProbeFailed):
        member.probe()


def test_a_renewed_certificate_is_presented_without_a_restart(member: Member) -> None:
    renewed = member.authority.issue(Profile.NODE, "n1", ["localhost", STORE_NAME], LOOPBACK)
    PairSlot(member.pki, "etcd").write(renewed)
    presented = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", member.port)))
    assert presented == ssl.PEM_cert_to_DER_cert(renewed.certificate.decode())
    member.probe()


def test_a_client_of_another_installation_is_refused(member: Member, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    make_keys(stranger, Authority.create("stranger.example.com"))
    (stranger / "ca.crt").write_bytes((member.pki / "ca.crt").read_bytes())
    foreign = Etcd(stranger, f"https://127.0.0.1:{member.port}")
    with pytest.raises(ProbeFailed):
        run_probes(foreign)


def members_as_told_to(member: Member, pair: str) -> bytes:
    """What another member is told, who shows this pair of keys."""
    context = ssl.create_default_context(cafile=member.pki / "ca.crt")
    context.load_cert_chain(member.pki / f"{pair}.crt", member.pki / f"{pair}.key")
    with (
        socket.create_connection(("127.0.0.1", member.peer_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=STORE_NAME) as channel,
    ):
        channel.sendall(b"GET /members HTTP/1.0\r\n\r\n")
        return channel.recv(4096)


def test_another_member_is_only_who_carries_the_store_s_name(member: Member) -> None:
    assert b" 200 " in members_as_told_to(member, "etcd")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        members_as_told_to(member, "node")


def test_a_killed_member_answers_again_within_seconds(member: Member) -> None:
    with member.store() as store:
        store.put("/kept", "1")
        for _ in range(3):
            member.stop()
            member.start()
            started = time.monotonic()
            record = store.get("/kept", deadline=Seconds(10))
            assert record is not None
            assert time.monotonic() - started < 5
