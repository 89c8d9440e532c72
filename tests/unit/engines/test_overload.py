"""Who is overloaded: what Dovecot's master says, and how Postfix's processes are counted."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from appliance.engines.base import Overloaded, ProbeFailed
from appliance.engines.dovecot.processes import Service, overload, services
from appliance.engines.postfix.processes import count, limits, serving

#: As Dovecot 2.3.19 answers.
IDLE = "imap\t3\t3\t1024\t1\t0\t0\t0\t0\tn\tn\tn\t3"
FULL = "imap\t2\t0\t2\t1\t0\t0\t0\t1795528811\ty\tn\tn\t7"
NOW = 1795530000.0


def test_the_masters_lines_are_read() -> None:
    assert services([IDLE, FULL.replace("imap", "pop3")]) == {
        "imap": Service(3, 3, 1024, 0),
        "pop3": Service(2, 0, 2, 1795528811),
    }


@pytest.mark.parametrize(
    ("service", "full"),
    [
        pytest.param(Service(3, 3, 1024, 0), False, id="idle"),
        pytest.param(Service(1024, 1, 1024, 0), False, id="one is free"),
        pytest.param(Service(1024, 0, 1024, 0), True, id="at the limit"),
        pytest.param(Service(3, 0, 1024, 0), False, id="busy, another can start"),
        pytest.param(Service(1024, 1, 1024, int(NOW) - 2), True, id="one is free again"),
        pytest.param(Service(1024, 1, 1024, int(NOW) - 60), False, id="free for long"),
        pytest.param(Service(1024, 1, 1024, int(NOW) + 60), False, id="the clock was set back"),
    ],
)
def test_a_service_is_full_when_a_client_finds_no_process(service: Service, full: bool) -> None:
    assert service.is_full(NOW) is full


async def _asked(tmp_path: Path, answer: bytes) -> Overloaded | None:
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"SERVICE-STATUS\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        served.set()

    server = await asyncio.start_unix_server(serve, tmp_path / "master")
    async with server:
        try:
            return await overload(tmp_path, {"imap": "imap.process_limit"})
        finally:
            await served.wait()


def test_the_full_service_is_named_with_its_limit(tmp_path: Path) -> None:
    said = asyncio.run(_asked(tmp_path, f"VERSION\tmaster-server\t1\t0\n{FULL}\n\n".encode()))
    assert said is not None
    assert said.facts == {"service": "imap", "limit": 2, "setting": "imap.process_limit"}
    assert asyncio.run(_asked(tmp_path, f"VERSION\tmaster-server\t1\t0\n{IDLE}\n\n".encode())) is None


def test_a_master_that_says_something_else_says_nothing_of_an_overload(tmp_path: Path) -> None:
    with pytest.raises(ProbeFailed):
        asyncio.run(_asked(tmp_path, b"VERSION\tmaster-server\t2\t0\n\n"))


def test_smtpd_processes_are_counted_by_service() -> None:
    commands = [
        ["smtpd", "-n", "25", "-t", "inet", "-u"],
        ["smtpd", "-n", "25", "-t", "inet", "-u", "-o", "stress=yes"],
        ["smtpd", "-n", "127.0.0.1:10025", "-t", "inet", "-u"],
        ["qmgr", "-l", "-t", "unix", "-u"],
        ["smtpd", "-n"],
        [],
    ]
    assert count(commands) == Counter({"25": 2, "127.0.0.1:10025": 1})


def test_limits_are_those_of_master_cf() -> None:
    text = """\
# service type  private unpriv chroot wakeup maxproc command
25         inet  n       -       n       -       2     smtpd
    -o { syslog_name = posthouse-mail/smtp }

127.0.0.1:10025 inet n     -       n       -       100     smtpd
pickup     unix  n       -       n       60      1       pickup
"""
    assert limits(text) == {"25": 2, "127.0.0.1:10025": 100}


def test_only_children_of_the_instances_master_count(tmp_path: Path) -> None:
    assert serving(tmp_path) == Counter()
    folder = tmp_path / "postfix/spool/pid"
    folder.mkdir(parents=True)
    program = "import subprocess, sys; subprocess.Popen(['smtpd', '-n', '25'], executable='/usr/bin/tail', stdin=0)\n"
    program += "print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as master:
        assert master.stdout is not None
        master.stdout.readline()
        (folder / "master.pid").write_text(f"{master.pid:15}\n")
        deadline = time.monotonic() + 10
        found = serving(tmp_path)
        while not found and time.monotonic() < deadline:
            found = serving(tmp_path)
        assert found == Counter({"25": 1})
