"""`posthouse dns check` against a real DNS server (unbound) that serves a zone of its own on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest
from click.testing import CliRunner, Result

from appliance import node_file, paths
from appliance.cli.main import posthouse
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName
from appliance.errors import BadInput, NotFound, Unavailable
from appliance.node_file import NodeFile

_UNBOUND = shutil.which("unbound") or ("/usr/sbin/unbound" if Path("/usr/sbin/unbound").exists() else None)
pytestmark = pytest.mark.skipif(_UNBOUND is None, reason="needs Debian's unbound")

HOST = "mail.example.com"
RECORDS = """
example.com. IN MX 10 mail.example.com.
mail.example.com. IN A 203.0.113.5
5.113.0.203.in-addr.arpa. IN PTR mail.example.com.
example.com. IN TXT "v=spf1 mx -all"
_dmarc.example.com. IN TXT "v=DMARC1; p=none"
_submissions._tcp.example.com. IN SRV 0 1 465 mail.example.com.
_submission._tcp.example.com. IN SRV 0 1 587 mail.example.com.
_imaps._tcp.example.com. IN SRV 0 1 993 mail.example.com.
_pop3s._tcp.example.com. IN SRV 0 1 995 mail.example.com.
xn--fsqu00a.xn--fiqs8s. IN MX 10 mail.example.com.
xn--fsqu00a.xn--fiqs8s. IN TXT "v=spf1 include:example.com -all"
alias.example.net. IN CNAME elsewhere.example.net.
elsewhere.example.net. IN A 203.0.113.5
broken.example.net. IN TXT "x"
half.example.net. IN MX 10 other.example.net.
half.example.net. IN TXT "v=spf1 ip4:198.51.100.0/24 ~all"
big.example.net. IN MX 10 mail.example.com.
"""


@dataclass
class DnsServer:
    """A real server on a port of its own."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


ZONES = ("example.com.", "113.0.203.in-addr.arpa.", "xn--fsqu00a.xn--fiqs8s.", "example.net.")


def configuration(folder: Path, port: int) -> str:
    """unbound as an authoritative server of ZONES; it asks nobody else."""
    lines = ["server:", f"  port: {port}", "  interface: 127.0.0.1", '  chroot: ""', '  username: ""']
    lines += [f'  directory: "{folder}"', f'  pidfile: "{folder}/pid"', "  do-daemonize: no", "  use-syslog: no"]
    lines += ["  do-ip6: no", '  module-config: "iterator"', "  access-control: 127.0.0.0/8 allow"]
    lines += [f'  local-zone: "{zone}" nodefault' for zone in ZONES]
    lines += ['  local-zone: "refused.example." refuse', "remote-control:", "  control-enable: no"]
    long_text = " ".join(f'"{"x" * 250}"' for _ in range(20))
    records = [*RECORDS.strip().splitlines(), f"big.example.net. IN TXT {long_text}"]
    for zone in ZONES:
        own = [record for record in records if record.split()[0].endswith(zone)]
        head = [f"{zone} 60 IN SOA ns.example.com. root.example.com. 1 60 60 60 60", f"{zone} IN NS ns.example.com."]
        (folder / f"{zone}zone").write_text("$TTL 60\n" + "\n".join([*head, *own]) + "\n")
        lines += ["auth-zone:", f'  name: "{zone}"', f'  zonefile: "{folder}/{zone}zone"']
        lines += ["  for-downstream: yes", "  for-upstream: no"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DnsServer]:
    folder = tmp_path_factory.mktemp("unbound")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "unbound.conf").write_text(configuration(folder, port))
    assert _UNBOUND is not None
    command = [_UNBOUND, "-d", "-c", str(folder / "unbound.conf")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ))
    made = DnsServer(port, process)
    wait_until_answering(made, folder / "log")
    yield made
    process.kill()
    process.wait()


def wait_until_answering(server: DnsServer, log: Path) -> None:
    ends = time.monotonic() + 15
    question = dns.message.make_query("example.com", "MX")
    while True:
        try:
            dns.query.udp(question, "127.0.0.1", port=server.port, timeout=0.3)
        except (OSError, dns.exception.Timeout):
            assert server.process.poll() is None, log.read_text()
            assert time.monotonic() < ends
        else:
            return


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "NODE_FILE", tmp_path / "node.yaml")
    node_file.write(NodeFile(name=NodeName("mail"), hostname=HOST, roles=frozenset({Role.EDGE})))


def check(*words: str) -> Result:
    return CliRunner().invoke(posthouse, ["dns", "check", *words])


def told(server: DnsServer, domain: str, *words: str) -> Any:
    result = check(domain, "--resolver", server.address, "--address", "203.0.113.5", "--json", *words)
    assert result.output, result.exception
    return json.loads(result.output)


def states(report: Any) -> dict[str, str]:
    return {row["kind"]: row["status"] for row in report["findings"] if row["kind"] != "SRV"}


def test_a_domain_with_everything_right_ends_with_0(server: DnsServer) -> None:
    report = told(server, "example.com")
    assert report["ok"]
    assert {row["status"] for row in report["findings"]} == {"ok"}
    result = check("example.com", "--resolver", server.address, "--address", "203.0.113.5")
    assert result.exit_code == 0
    assert "missing" not in result.output


def test_a_chinese_domain_is_asked_for_by_its_a_label_and_shown_in_both_forms(server: DnsServer) -> None:
    report = told(server, "例子.中国")
    assert (report["domain"], report["domain_unicode"]) == ("xn--fsqu00a.xn--fiqs8s", "例子.中国")
    assert states(report) == {"MX": "ok", "A": "ok", "PTR": "ok", "SPF": "ok", "DMARC": "missing"}
    assert report["ok"]


def test_a_domain_that_does_not_exist_is_told_what_to_enter_and_ends_with_1(server: DnsServer) -> None:
    result = check("absent.example.net", "--resolver", server.address, "--address", "203.0.113.5")
    assert result.exit_code == 1
    assert "absent.example.net. IN MX 10 mail.example.com." in result.output
    assert 'absent.example.net. IN TXT "v=spf1 mx -all"' in result.output


def test_records_of_another_provider_are_wrong_and_the_policy_is_widened(server: DnsServer) -> None:
    report = told(server, "half.example.net")
    rows = {row["kind"]: row for row in report["findings"]}
    assert (rows["MX"]["status"], rows["SPF"]["status"]) == ("wrong", "wrong")
    assert rows["SPF"]["note"] == "dns-spf-not-allowed"
    assert rows["SPF"]["wanted"] == ['half.example.net. IN TXT "v=spf1 ip4:198.51.100.0/24 a:mail.example.com ~all"']


def test_a_host_name_that_is_an_alias_cannot_be_a_mail_exchanger(server: DnsServer) -> None:
    report = told(server, "example.com", "--hostname", "alias.example.net")
    assert states(report)["A"] == "ok"
    assert states(report)["MX"] == "wrong"


def test_an_answer_too_large_for_one_packet_is_read(server: DnsServer) -> None:
    report = told(server, "big.example.net")
    assert states(report) == {"MX": "ok", "A": "ok", "PTR": "ok", "SPF": "missing", "DMARC": "missing"}


def test_a_resolver_that_refuses_leaves_it_unknown(server: DnsServer) -> None:
    report = told(server, "refused.example")
    assert states(report)["MX"] == "unknown"
    assert not report["ok"]


def test_a_dead_resolver_is_said_plainly_and_at_once() -> None:
    started = time.monotonic()
    error = check("example.com", "--resolver", "127.0.0.1:9").exception
    assert isinstance(error, Unavailable)
    assert error.key == "dns-no-answer"
    assert "127.0.0.1 port 9" in str(error)
    assert time.monotonic() - started < 6


def test_a_silent_resolver_is_given_up_in_time(server: DnsServer) -> None:
    server.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
    try:
        started = time.monotonic()
        error = check("example.com", "--resolver", server.address).exception
        assert isinstance(error, Unavailable)
        assert time.monotonic() - started < 8
    finally:
        server.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        pytest.param(["-x-.example.com"], "domain", id="bad-domain"),
        pytest.param(["com"], "domain", id="no-domain"),
        pytest.param(["example.com", "--resolver", "dns.example"], "resolver", id="resolver-name"),
        pytest.param(["example.com", "--resolver", "127.0.0.1:70000"], "resolver", id="resolver-port"),
        pytest.param(["example.com", "--address", "300.1.1.1"], "address", id="bad-address"),
        pytest.param(["example.com", "--hostname", "mail"], "hostname", id="bad-hostname"),
    ],
)
def test_bad_input_is_refused_with_its_field(words: list[str], field: str) -> None:
    error = check("--", *words).exception if words[0].startswith("-") else check(*words).exception
    assert isinstance(error, BadInput)
    assert error.field == field
    assert str(error)


def test_before_init_a_host_name_can_be_given(server: DnsServer) -> None:
    paths.NODE_FILE.unlink()
    assert isinstance(check("example.com", "--resolver", server.address).exception, NotFound)
    assert told(server, "example.com", "--hostname", HOST)["ok"]


def test_the_answer_is_told_in_the_reader_s_language(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for language, word in (("zh-CN", "缺少"), ("zh-TW", "缺少"), ("ja", "なし"), ("en", "missing")):
        monkeypatch.setenv("POSTHOUSE_LANG", language)
        assert word in check("absent.example.net", "--resolver", server.address).output
