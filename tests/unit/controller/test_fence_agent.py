"""One fence program: what it is given, how it ends, and what is believed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from appliance.cluster.decided import FenceSpec
from appliance.cluster.names import NodeName
from appliance.fencing import agent
from appliance.fencing.agent import Answer, FenceFailed
from appliance.pki import sealing
from controller.fencing.ask import ask
from controller.fencing.desk import Errand, FenceDesk, Report, run_errand
from tests.lab.polling import wait_until


def script(folder: Path, body: str) -> Path:
    program = folder / "fence_test"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def spec(**more: object) -> FenceSpec:
    fields: dict[str, object] = {"node": "a", "agent": "fence_test", "parameters": {"plug": "7"}, "timeout": 5}
    return FenceSpec.model_validate({**fields, **more})


def test_it_is_given_lines_on_standard_input_and_nothing_on_its_command_line(tmp_path: Path) -> None:
    program = script(tmp_path, f'sort >"{tmp_path}/given"; echo "$#" >>"{tmp_path}/given"')
    assert agent.run(program, "off", {"plug": "7", "password": "a b=c"}, 5.0) == Answer(0)
    assert (tmp_path / "given").read_text().splitlines() == ["action=off", "password=a b=c", "plug=7", "0"]


def test_an_action_among_the_parameters_is_not_what_is_done(tmp_path: Path) -> None:
    program = script(tmp_path, "cat")
    assert agent.run(program, "status", {"action": "on"}, 5.0).said == "action=status"


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    program = script(tmp_path, f'sleep 600 & echo "$!" >"{tmp_path}/child"; wait')
    assert agent.run(program, "off", {}, 0.5) == Answer(None)
    child = int((tmp_path / "child").read_text())
    wait_until("the child is gone", lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_child_that_keeps_the_output_open_does_not_hold_anybody_up(tmp_path: Path) -> None:
    program = script(tmp_path, "setsid sleep 5 & sleep 600")
    before = time.monotonic()
    assert agent.run(program, "off", {}, 0.5).status is None
    assert time.monotonic() - before < 4.5  # the child's own end


def test_its_last_words_are_kept_in_one_line_without_secrets(tmp_path: Path) -> None:
    program = script(tmp_path, 'printf "login failed\\n for s3cret\\t\\033[31m"; exit 1')
    answer = agent.run(program, "off", {"password": "s3cret"}, 5.0)
    assert answer == Answer(1, "login failed for *** [31m")


@pytest.mark.parametrize(("status", "off"), [(0, False), (2, True), (1, None), (127, None), (None, None)])
def test_only_status_2_reads_off(status: int | None, off: bool | None) -> None:
    assert agent.is_off(Answer(status)) is off


def test_a_program_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(FenceFailed, match="fence_nowhere"):
        agent.find("fence_nowhere", (str(tmp_path),))


def test_secrets_are_unsealed_and_a_wrong_key_is_told(tmp_path: Path) -> None:
    key, other = tmp_path / "sealing.key", tmp_path / "other.key"
    sealing.ensure_key(key)
    sealing.ensure_key(other)
    sealed = spec(sealed={"password": sealing.seal("s3cret", key)})
    assert agent.parameters(sealed, key) == {"plug": "7", "password": "s3cret"}
    with pytest.raises(sealing.SealingFailed):
        agent.parameters(sealed, other)


WORKS = '[ "$(grep action=)" = action=status ] && exit 2; exit 0'
CASES = {
    "it works": (WORKS, Report(NodeName("a"), 5, Errand.CUT_OFF, True, True)),
    "it lies": ("exit 0", Report(NodeName("a"), 5, Errand.CUT_OFF, True, False)),
    "it refuses": ("echo no; exit 1", Report(NodeName("a"), 5, Errand.CUT_OFF, False, None, "no")),
    "it says that it failed, and did it": (
        '[ "$(grep action=)" = action=status ] && exit 2; echo late; exit 1',
        Report(NodeName("a"), 5, Errand.CUT_OFF, False, True, "late"),
    ),
    "it hangs": ("sleep 600", Report(NodeName("a"), 5, Errand.CUT_OFF, None, None, "no answer in time")),
    "only the order hangs": (
        '[ "$(grep action=)" = action=status ] && exit 2; sleep 600',
        Report(NodeName("a"), 5, Errand.CUT_OFF, None, True, "no answer in time"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_order_is_followed_by_a_reading(name: str, tmp_path: Path) -> None:
    body, expected = CASES[name]
    script(tmp_path, body)
    assert run_errand(spec(timeout=0.5), 5, None, (str(tmp_path),), Errand.CUT_OFF) == expected


def test_a_reading_alone_orders_nothing(tmp_path: Path) -> None:
    script(tmp_path, f'cat >>"{tmp_path}/given"; exit 2')
    report = run_errand(spec(), 5, None, (str(tmp_path),), Errand.READ)
    assert (report.off, report.accepted, report.errand) == (True, None, Errand.READ)
    assert "action=off" not in (tmp_path / "given").read_text()


def test_a_key_that_is_missing_is_a_refusal_with_a_reason(tmp_path: Path) -> None:
    script(tmp_path, "exit 0")
    sealed = spec(sealed={"password": "x"})
    report = run_errand(sealed, 5, tmp_path / "none", (str(tmp_path),), Errand.CUT_OFF)
    assert (report.accepted, report.off) == (False, None)
    assert "none" in report.detail


def test_the_desk_runs_one_program_for_a_node_and_wakes_the_loop(tmp_path: Path) -> None:
    script(tmp_path, WORKS)
    woken: list[bool] = []
    desk = FenceDesk(lambda: woken.append(True), None, (str(tmp_path),))
    desk.order(spec(), 5)
    assert desk.busy(NodeName("a"))
    wait_until("woken", lambda: woken)
    assert [report.off for report in desk.collect()] == [True]
    assert not desk.busy(NodeName("a"))
    assert desk.collect() == []


def test_an_order_that_is_broken_off_ends_its_program_and_is_read(tmp_path: Path) -> None:
    script(tmp_path, f'[ "$(grep action=)" = action=status ] && exit 0; echo "$$" >"{tmp_path}/pid"; sleep 600')
    desk = FenceDesk(lambda: None, None, (str(tmp_path),))
    desk.order(spec(timeout=60), 5)
    pid = wait_until("it runs", lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    desk.break_off(NodeName("a"))
    (report,) = wait_until("its report", desk.collect)
    assert (report.accepted, report.off) == (None, False)
    assert not _runs(int(pid))


def test_a_node_is_switched_on_by_its_fence(tmp_path: Path) -> None:
    script(tmp_path, f'cat >>"{tmp_path}/given"')
    report = run_errand(spec(), 5, None, (str(tmp_path),), Errand.POWER_ON)
    assert (report.accepted, report.off) == (True, None)
    assert "action=on" in (tmp_path / "given").read_text().splitlines()


def test_a_check_reads_a_fence_with_secrets_in_a_process_of_its_own(tmp_path: Path) -> None:
    key = tmp_path / "sealing.key"
    sealing.ensure_key(key)
    script(tmp_path, '[ "$(grep password=)" = password=s3cret ] || exit 1; echo "Status: ON"')
    sealed = spec(sealed={"password": sealing.seal("s3cret", key)})
    expected = Report(NodeName("a"), 0, Errand.READ, None, False, "Status: ON")
    assert ask(sealed, key, (str(tmp_path),)) == expected
    assert "none" in ask(sealed, tmp_path / "none", (str(tmp_path),)).detail
