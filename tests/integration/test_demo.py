"""The demo command, as a newcomer runs it (`./run demo`), beside one that may run already."""

from __future__ import annotations

import imaplib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.demo import clients
from tests.lab.host import BUILD, REPOSITORY
from tests.lab.lab import names

pytestmark = pytest.mark.timeout(300)

NAME = f"demo-test-{os.getpid()}"


def demo(*words: str) -> subprocess.CompletedProcess[str]:
    """What `./run demo` calls once everything is built."""
    return subprocess.run(
        [sys.executable, "-m", "tests.demo", *words],
        cwd=REPOSITORY,
        env={**os.environ, "POSTHOUSE_DEMO": NAME},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def started() -> Iterator[subprocess.CompletedProcess[str]]:
    yield demo()
    demo("stop")


def bobs_password(said: str) -> str:
    found = re.search(r"bob@example\.test\s+password (\S+)", said)
    assert found, said
    return found[1]


def imaps_port(said: str) -> int:
    found = re.search(r"127\.0\.0\.1:(\d+) .*\(port 993 ", said)
    assert found, said
    return int(found[1])


def test_it_tells_that_the_message_was_sent_and_read_in_both_ways(
    started: subprocess.CompletedProcess[str],
) -> None:
    assert started.returncode == 0, started.stdout + started.stderr
    assert "250 2.0.0" in started.stdout
    assert started.stdout.count("      Hello from Posthouse 驿站") == 2


def test_the_addresses_and_passwords_it_prints_work_from_this_machine(
    started: subprocess.CompletedProcess[str],
) -> None:
    ca_file = BUILD / "demos" / NAME / "ca.crt"
    context = clients.verifying("mail1.posthouse.test", ca_file)
    with imaplib.IMAP4_SSL("127.0.0.1", imaps_port(started.stdout), ssl_context=context, timeout=20) as client:
        assert client.login("bob@example.test", bobs_password(started.stdout))[0] == "OK"


def test_a_second_start_says_that_it_runs_and_tells_the_same_again(
    started: subprocess.CompletedProcess[str],
) -> None:
    again = demo()
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert bobs_password(again.stdout) == bobs_password(started.stdout)


def test_a_move_and_the_death_of_a_node_are_survived_and_told_in_milliseconds(
    started: subprocess.CompletedProcess[str],
) -> None:
    moved = demo("move", "mail", "mail2")
    assert "mail is on mail2" in moved.stdout, moved.stdout + moved.stderr
    killed = demo("kill", "mail2")
    assert re.search(r"SMTP: clients had no answer for \d+ ms", killed.stdout), killed.stdout + killed.stderr
    assert re.search(r"mail is on mail[13]\n", killed.stdout)
    healed = demo("heal")
    assert "the cluster is whole" in healed.stdout, healed.stdout + healed.stderr
    told = demo("status").stdout
    assert "The cluster is well" in told
    assert re.search(r"The load so far: \d+ messages accepted", told)


def test_other_words_are_answered_with_the_usage(started: subprocess.CompletedProcess[str]) -> None:
    assert demo("explode", "mail1").returncode == 2


def test_after_stop_nothing_is_left(started: subprocess.CompletedProcess[str]) -> None:
    assert demo("stop").returncode == 0
    assert NAME not in names()
    with pytest.raises(OSError, match="refused"):
        imaplib.IMAP4_SSL("127.0.0.1", imaps_port(started.stdout), timeout=5)
    assert "does not run" in demo("stop").stdout
