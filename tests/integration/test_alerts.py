"""Every channel of alerts against a real receiver: an HTTP server, an SMTP relay, snmptrapd, a syslog socket."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from appliance.alerts.channels import Alert, ChannelFailed, Mail, SnmpTrap, Syslog, Webhook, channels
from appliance.settings.registry import defaults
from tests.integration.mail_clients import Exchanger
from tests.lab.polling import wait_until

ALERT = Alert("mail-down-a", "raised", "邮件 mail does not work on a", "a.posthouse.test", {"node": "a"})


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_channel_is_set_by_default() -> None:
    assert channels(defaults()) == ()


def test_a_webhook_gets_json_that_chats_show() -> None:
    bodies: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    Webhook(f"http://127.0.0.1:{server.server_port}/secret-path").send(ALERT)
    thread.join(10)
    server.server_close()
    said = json.loads(bodies[0])
    assert said["text"] == "[raised] a.posthouse.test: 邮件 mail does not work on a"
    assert (said["alert"], said["facts"]) == ("mail-down-a", {"node": "a"})


def test_a_webhook_that_fails_does_not_tell_its_address() -> None:
    with pytest.raises(ChannelFailed) as failed:
        Webhook(f"http://127.0.0.1:{free_port()}/secret-path").send(ALERT)
    assert "secret-path" not in str(failed.value)


def test_an_outside_relay_gets_a_letter() -> None:
    with Exchanger(address="127.0.0.1", port=free_port()) as relay:
        Mail(f"[127.0.0.1]:{relay.port}", ("night@example.org",)).send(ALERT)
        relay.wait(b"mail-down-a")
        text = b"".join(relay.lines)
    assert b"rcpt to:<night@example.org>" in text.lower()
    letter = message_from_bytes(text[text.index(b"From: posthouse@") :], policy=default)
    assert letter["Subject"] == "[raised] a.posthouse.test: 邮件 mail does not work on a"
    assert letter["Auto-Submitted"] == "auto-generated"


@pytest.fixture
def trap_log(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    assert shutil.which("snmptrapd"), "needs Debian's snmptrapd"
    port, log = free_port(socket.SOCK_DGRAM), tmp_path / "traps"
    configuration = tmp_path / "snmptrapd.conf"
    configuration.write_text("authCommunity log public\n")
    process = subprocess.Popen(
        ["snmptrapd", "-f", "-C", "-c", str(configuration), "-Lf", str(log), "-On", "-m", "", f"udp:127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until("snmptrapd listens", lambda: log.exists() and "NET-SNMP" in log.read_text())
        yield log, port
    finally:
        process.terminate()
        process.wait(10)


def test_snmptrapd_understands_the_notification(trap_log: tuple[Path, int]) -> None:
    log, port = trap_log
    SnmpTrap(f"[127.0.0.1]:{port}", "public").send(ALERT)
    wait_until("trap logged", lambda: "mail-down-a" in log.read_text())
    text = log.read_text()
    assert ".1.3.6.1.6.3.1.1.4.1.0 = OID: .1.3.6.1.4.1.8072.9999.9999.25.0.1" in text
    assert 'STRING: "raised"' in text


def test_a_syslog_server_gets_an_rfc_5424_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        Syslog(f"127.0.0.1:{server.getsockname()[1]}").send(ALERT)
        line = server.recv(4096).decode()
    assert line.startswith("<17>1 20")
    assert line.endswith("a.posthouse.test posthouse - mail-down-a - \ufeff[raised] 邮件 mail does not work on a")
