"""Agents that probe each other directly: processes in network namespaces, with real certificates."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.pki.authority import Authority, Profile, pem
from nodeagent.health.peer_wire import PORT, PeerTls
from tests.lab import network
from tests.lab.links import Links
from tests.lab.polling import wait_until


class Cluster:
    """Three namespaces on a bridge, and an authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create("test")
        self.bridge = f"peers-{uuid.uuid4().hex[:8]}"
        self.nodes = {f"n{number}": network.node_address(number) for number in (1, 2, 3)}
        self.links = Links(self.bridge)
        self.started: list[Observer] = []

    def namespace(self, name: str) -> str:
        return f"{self.bridge}-{name}"

    def build(self) -> None:
        network.create_bridge(self.bridge)
        for number, name in enumerate(self.nodes, start=1):
            network.attach(self.bridge, self.namespace(name), number)

    def remove(self) -> None:
        for each in self.started:
            each.kill()
        for number, name in enumerate(self.nodes, start=1):
            network.detach(self.bridge, number)
            network.remove(self.namespace(name))
        network.remove(self.bridge)

    def keys(self, name: str, authority: Authority | None = None, profile: Profile = Profile.NODE) -> Path:
        """A folder of keys for that name."""
        signer = authority or self.authority
        pair = signer.issue(profile, name, [name])
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir()
        for file, data in (("crt", pair.certificate), ("key", pair.key)):
            (folder / f"node.{file}").write_bytes(data)
        (folder / "ca.crt").write_bytes(pem(signer.certificate))
        return folder

    def start(self, name: str, keys: Path | None = None) -> Observer:
        made = Observer(self, name, keys or self.keys(name))
        self.started.append(made)
        return made


class Observer:
    """The process of one node, and what it tells."""

    def __init__(self, cluster: Cluster, name: str, keys: Path) -> None:
        self.name = name
        self.told: list[list[str]] = []
        words = [sys.executable, "-m", "tests.integration.peer_process", name, str(keys), json.dumps(cluster.nodes)]
        enter = ["ip", "netns", "exec", cluster.namespace(name)]
        self.process = subprocess.Popen([*enter, *words], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))

    def tells(self, *names: str) -> None:
        """Wait until these are the nodes without an answer."""
        wait_until(
            f"{self.name} sees {names or 'nobody'} without an answer",
            lambda: self.told and self.told[-1] == list(names),
            timeout=20,
            every=0.02,
            explain=lambda: str(self.told),
        )

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        made.build()
        yield made
    finally:
        made.remove()


def three(cluster: Cluster) -> list[Observer]:
    made = [cluster.start(name) for name in cluster.nodes]
    for each in made:
        each.tells()
    for each in made:
        each.told[:] = [[]]  # how they came up is no matter
    return made


def test_every_node_sees_that_one_was_killed_and_that_it_is_back(cluster: Cluster) -> None:
    one, two, gone = three(cluster)
    gone.kill()
    one.tells("n3")
    two.tells("n3")
    cluster.start("n3").tells()
    one.tells()
    two.tells()


def test_a_process_that_hangs_is_silent_and_answers_when_it_goes_on(cluster: Cluster) -> None:
    """Its kernel takes connections, its loop does not run. Thawed, it blames nobody for its own stillness."""
    one, _, hung = three(cluster)
    hung.process.send_signal(signal.SIGSTOP)
    one.tells("n3")
    hung.process.send_signal(signal.SIGCONT)
    one.tells()
    assert hung.told == [[]]


def test_an_agent_that_is_restarted_is_missed_by_nobody(cluster: Cluster) -> None:
    one, two, before = three(cluster)
    before.end()
    cluster.start("n3").tells()
    one.kill()
    two.tells("n1")  # so long it has asked the new one
    assert one.told == [[]]
    assert two.told == [[], ["n1"]]


def test_an_agent_that_took_leave_and_does_not_return_is_missed(cluster: Cluster) -> None:
    one, _, gone = three(cluster)
    gone.end()
    one.tells("n3")


@pytest.mark.parametrize("one_way", [False, True], ids=["both ways", "one way"])
def test_a_cut_is_seen_from_both_sides_and_its_end_too(cluster: Cluster, one_way: bool) -> None:
    """Question and answer need both directions, so a cut of one of them is silence on either side."""
    one, two, cut = three(cluster)
    cluster.links.cut([1, 2], [3], one_way=one_way)
    one.tells("n3")
    two.tells("n3")
    cut.tells("n1", "n2")
    cluster.links.heal()
    for each in (one, two, cut):
        each.tells()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda cluster: cluster.keys("n3"), id="another node's name"),
        pytest.param(lambda cluster: cluster.keys("n2", Authority.create("other")), id="another installation's"),
    ],
)
def test_who_is_not_the_node_that_was_meant_counts_as_no_answer(
    cluster: Cluster, wrong: Callable[[Cluster], Path]
) -> None:
    one, _ = cluster.start("n1"), cluster.start("n2", wrong(cluster))
    cluster.start("n3")
    one.tells("n2")


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        pytest.param("stranger", Profile.NODE, id="not a node of the cluster"),
        pytest.param("n1", Profile.MAIL, id="a mail server's certificate"),
    ],
)
def test_nobody_else_gets_an_answer(cluster: Cluster, name: str, profile: Profile) -> None:
    three(cluster)
    stranger = PeerTls(cluster.keys(name, profile=profile))
    stranger.refresh()
    with network.entered(cluster.namespace("n1")):
        plain = socket.create_connection((cluster.nodes["n2"], PORT), timeout=5)
    with plain, contextlib.suppress(ssl.SSLError, ConnectionError), stranger.client.wrap_socket(plain) as line:
        line.sendall(b"?1")
        assert line.recv(10) == b""
