"""A changed account is owed to Dovecot until doveadm has ended well. doveadm is a real program here, made for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.cluster.names import EngineName, GroupName, InstanceId, Seconds
from appliance.directory.changes import EVERYTHING, Changed
from nodeagent.agent import accounts
from nodeagent.agent.accounts import Debt, Debts, together

DOVECOT = InstanceId(EngineName("dovecot"), GroupName("mail"))
ALICE = Changed(names=frozenset({"alice@a.test"}))
BOB = Changed(names=frozenset({"bob@a.test"}))


@pytest.fixture
def doveadm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A doveadm that writes down how it was called; its exit status stands in a file beside it."""
    program = tmp_path / "doveadm"
    program.write_text(f'#!/bin/sh\nshift 2\necho "$@" >>{tmp_path}/calls\nexit "$(cat {tmp_path}/status)"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(accounts, "_PAUSE_FIRST", Seconds(0.0))
    return tmp_path


def flushes(folder: Path) -> list[str]:
    return [line for line in (folder / "calls").read_text().splitlines() if line.startswith("auth cache flush")]


def test_what_doveadm_failed_to_do_is_done_again_with_what_came_since(doveadm: Path) -> None:
    (doveadm / "status").write_text("75")
    debts = Debts()
    debts.note(ALICE, [DOVECOT])
    debts.settle([DOVECOT])
    debts.note(BOB, [DOVECOT])
    (doveadm / "status").write_text("0")
    debts.settle([DOVECOT])
    debts.settle([DOVECOT])
    assert flushes(doveadm) == ["auth cache flush alice@a.test", "auth cache flush alice@a.test bob@a.test"]


def test_a_time_out_is_a_failure_too(doveadm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_DEADLINE", Seconds(0.2))
    (doveadm / "doveadm").write_text("#!/bin/sh\nexec sleep 5\n")
    debts = Debts()
    debts.note(ALICE, [DOVECOT])
    debts.settle([DOVECOT])
    (doveadm / "doveadm").write_text(f'#!/bin/sh\nshift 2\necho "$@" >>{doveadm}/calls\n')
    monkeypatch.setattr(accounts, "_DEADLINE", Seconds(5.0))
    debts.settle([DOVECOT])
    assert flushes(doveadm) == ["auth cache flush alice@a.test"]


def test_a_dovecot_that_ended_is_owed_nothing(doveadm: Path) -> None:
    (doveadm / "status").write_text("75")
    debts = Debts()
    debts.note(ALICE, [DOVECOT])
    debts.settle([DOVECOT])
    debts.settle([])
    (doveadm / "status").write_text("0")
    debts.settle([DOVECOT])
    assert len(flushes(doveadm)) == 1


def test_memory_and_pauses_have_bounds() -> None:
    many = Changed(names=frozenset(f"u{number}@a.test" for number in range(600)))
    more = Changed(names=frozenset(f"v{number}@a.test" for number in range(600)))
    assert together(ALICE, BOB).names == {"alice@a.test", "bob@a.test"}
    assert together(many, more) == EVERYTHING
    debt = Debt(ALICE)
    for _ in range(100):
        debt = debt.after_failure(0.0)
    assert debt.not_before == 30.0
    assert debt.plus(BOB).not_before == 0.0
