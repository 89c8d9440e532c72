"""What strangers may send to the join service: each gets a reason, and the service goes on. Over real TLS."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance import node_file, paths
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName, Seconds
from appliance.installation import join_messages as messages
from appliance.installation import join_service, joining
from appliance.installation.admitting import Admitting
from appliance.installation.join_service import JoinService
from appliance.node_file import NodeFile
from appliance.pki import upkeep
from appliance.pki.authority import Profile
from appliance.pki.names import CONTROL_NAME
from appliance.pki.pairs import PairSlot
from tests.integration.etcd_server import make_keys
from tests.lab.polling import wait_until

HOST = "127.0.0.1"
DEEP = b"[" * 30_000 + b"\n"
JOIN = {
    "ask": "join", "token": "t", "name": "n2", "hostname": "n2.example.com", "address": "10.0.0.2",
    "machine_id": "2" * 32, "release": "0.1.0", "now": 1.0, "users": {}, "groups": {}, "requests": {},
}  # fmt: skip


class Service:
    """The service in a loop of its own, with keys, and without a store: what reaches that far is refused as well."""

    def __init__(self, folder: Path) -> None:
        authority = make_keys(folder)
        pair = authority.issue(Profile.NODE, "n1", ["localhost", CONTROL_NAME], upkeep.LOOPBACK)
        PairSlot(folder, "node").write(pair)
        node = NodeFile(name=NodeName("n1"), hostname="n1.example.com", roles=frozenset({Role.CONTROL}),
                        address=ip_address(HOST))  # fmt: skip
        node_file.write(node, folder / "node.yaml")
        self.pki = folder
        self._service = JoinService(Admitting(node, folder, "0.1.0"), (folder / "ca.crt").read_text())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self._serving = self._loop.create_task(self._service.serve(HOST, join_service.trust(self.pki)))
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)
        self._loop.close()

    def start(self) -> None:
        self._thread.start()
        wait_until("it listens", self._listens, timeout=10)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, messages.PORT), timeout=1):
            return True
        return False

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join(10)

    def line(self) -> ssl.SSLSocket:
        context = joining.trust((self.pki / "ca.crt").read_bytes())
        plain = socket.create_connection((HOST, messages.PORT), timeout=20)
        return context.wrap_socket(plain, server_hostname=CONTROL_NAME)

    def say(self, *parts: bytes) -> dict[str, Any]:
        """What it answers; who sends more than is read gets its answer all the same."""
        with self.line() as line:
            with suppress(OSError):
                for part in parts:
                    line.sendall(part)
            with line.makefile("rb") as answers:
                said: dict[str, Any] = json.loads(answers.readline())
                return said


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("join")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(paths, "NODE_FILE", folder / "node.yaml")
        made = Service(folder)
        made.start()
        yield made
        made.end()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a line may take, shorter."""
    monkeypatch.setattr(join_service, "_READ", Seconds(0.5))


def as_line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(DEEP, id="nested"),
        pytest.param(b'{"ask":' * 9_000 + b"\n", id="nested objects"),
        pytest.param(as_line({"ask": "join", "requests": json.loads("[" * 900 + "]" * 900)}), id="nested in a field"),
        pytest.param(b"\xff\xfe\xfd\n", id="not UTF-8"),
        pytest.param(b'{"ask":"join\xff"}\n', id="not UTF-8 inside"),
        pytest.param(b"\n", id="empty"),
        pytest.param(b"9" * 9_000 + b"\n", id="a long number"),
        pytest.param(b"x" * (messages.LONGEST + 10_000) + b"\n", id="too long"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(as_line({"ask": ["join"]}), id="a list as the question"),
        pytest.param(as_line({**JOIN, "now": "soon"}), id="wrong type"),
        pytest.param(as_line({**JOIN, "name": "n" * 70}), id="name too long"),
        pytest.param(as_line({**JOIN, "token": "\ud800"}), id="a lone surrogate"),
        pytest.param(as_line({**JOIN, "now": float("nan")}), id="not a number"),
        pytest.param(as_line({**JOIN, "users": {"vmail": 10**40}}), id="a large number"),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(
    service: Service, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert service.say(line)["refused"] == "join-malformed"
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


@pytest.mark.usefixtures("patience")
def test_who_sends_slowly_is_told_so_and_others_are_served_meanwhile(service: Service) -> None:
    with service.line() as slow:
        slow.sendall(b'{"ask":')
        assert "authority" in service.say(as_line({"ask": "authority"}))
        with slow.makefile("rb") as answers:
            assert json.loads(answers.readline())["refused"] == "join-too-slow"


@pytest.mark.parametrize("request_text", ["", "no request", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "é"])
def test_a_request_for_a_certificate_that_is_none_is_named(service: Service, request_text: str) -> None:
    said = service.say(as_line({**JOIN, "requests": {"node": request_text}}))
    assert said["refused"] == "join-bad-request"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
almost = st.fixed_dictionaries({name: st.just(value) | json_values for name, value in JOIN.items()})


@given(line=st.binary(max_size=200) | json_values.map(as_line) | almost.map(as_line))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_an_answer_goes_back_and_the_service_goes_on(
    service: Service, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    said = service.say(line.replace(b"\n", b" ") + b"\n")
    assert "refused" in said or "authority" in said
    assert said.get("refused") != "join-failed"
    assert not [record for record in caplog.records if record.exc_info]
    caplog.clear()
