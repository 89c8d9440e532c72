"""What `posthouse status` and `posthouse service` say when the agent is silent, or the store away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance import paths
from appliance.cli import status as command
from appliance.cli.main import told
from appliance.cli.service import AgentSilent, next_count, service
from appliance.cli.status import parse_units, screen, verdict
from appliance.cluster.names import NodeName
from appliance.cluster.report import InstanceReport, NodeReport, Notice
from appliance.directory.connection import DirectoryUnavailable
from appliance.errors import NotFound

DOVECOT = "posthouse-dovecot@mail.service"
WELL = InstanceReport(instance="dovecot@mail", state="running", healthy=True, last_log=("secret line",))
ILL_STORE = InstanceReport(instance="etcd@mail", state="failed", healthy=False)


def report(
    *instances: InstanceReport, age: float = 0.0, store: bool = True, warnings: tuple[Notice, ...] = ()
) -> NodeReport:
    return NodeReport(
        node=NodeName("mail1"),
        release="1",
        reported_at=time.time() - age,
        store_connected=store,
        owned_groups=("mail",),
        instances=instances or (WELL,),
        warnings=warnings,
    )


@pytest.mark.parametrize(
    ("find", "units", "key"),
    [
        pytest.param(report, {}, "status-verdict-healthy", id="all is well"),
        pytest.param(lambda: report(store=False), {}, "status-verdict-works", id="the store is away"),
        pytest.param(
            lambda: report(WELL, ILL_STORE, store=False), {}, "status-verdict-works", id="the store is broken"
        ),
        pytest.param(
            lambda: report(WELL.model_copy(update={"state": "failed"})),
            {},
            "status-verdict-unhealthy",
            id="an engine is down",
        ),
        pytest.param(
            lambda: report(
                warnings=(Notice(key="disk-refusing", facts={"path": "/", "free": "1M", "need": "75M"}, grave=True),)
            ),
            {},
            "status-verdict-unhealthy",
            id="disk full",
        ),
        pytest.param(
            lambda: report(age=60), {DOVECOT: "active"}, "status-verdict-unwatched", id="silent, mail goes on"
        ),
        pytest.param(
            lambda: report(age=60), {DOVECOT: "failed"}, "status-verdict-unwatched-down", id="silent, one is down"
        ),
        pytest.param(lambda: report(age=60), {}, "status-verdict-unwatched-down", id="silent, nothing known"),
        pytest.param(lambda: None, {DOVECOT: "active"}, "status-verdict-unwatched", id="never reported, mail goes on"),
    ],
)
def test_the_first_line_says_what_is_known(
    find: Callable[[], NodeReport | None], units: dict[str, str], key: str
) -> None:
    found = find()  # not when tests are collected, which may be long before
    assert verdict(found, units) == key
    assert list(screen(found, units))


def test_a_warning_alone_leaves_a_node_healthy_and_a_grave_one_does_not() -> None:
    assert report(warnings=(Notice(key="disk-warning"),)).healthy
    assert not report(warnings=(Notice(key="disk-critical", grave=True),)).healthy


def test_the_report_for_everybody_holds_no_log_lines() -> None:
    assert "secret line" not in report().without_log().model_dump_json()
    assert report().without_log().healthy


def test_systemds_words_about_several_units_are_read() -> None:
    text = f"Id={DOVECOT}\nActiveState=active\n\nActiveState=failed\nId=posthouse-postfix@mail.service\n"
    assert parse_units(text) == {DOVECOT: "active", "posthouse-postfix@mail.service": "failed"}
    assert parse_units("") == {}


def test_a_counter_that_is_no_number_is_set_anew() -> None:
    assert next_count("4") == 5
    assert next_count("many") > 1_000_000


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server that was set up; its report stands where the test writes it."""
    file = tmp_path / "node.yaml"
    file.write_text("name: mail1\nhostname: mail1.example.com\nroles: [control]\n")
    monkeypatch.setattr(paths, "NODE_FILE", file)
    for name in ("FULL_REPORT_FILE", "REPORT_FILE"):
        monkeypatch.setattr(command, name, tmp_path / "status.json")
    return tmp_path


def test_what_nobody_would_carry_out_is_refused_at_once(set_up: Path) -> None:
    (set_up / "status.json").write_text(report(age=60).model_dump_json())
    done = CliRunner().invoke(service, ["restart", "dovecot@mail"])
    assert isinstance(done.exception, AgentSilent)
    listed = CliRunner().invoke(service, ["list"])
    assert "posthouse status" in listed.output


@pytest.mark.parametrize("arguments", [["list"], ["restart", "dovecot@mail"]])
def test_a_server_that_was_never_set_up_is_told_how(set_up: Path, arguments: list[str]) -> None:
    paths.NODE_FILE.unlink()
    done = CliRunner().invoke(service, arguments)
    assert isinstance(done.exception, NotFound)
    assert "posthouse init" in str(done.exception)
    assert "posthouse init" in str(CliRunner().invoke(command.status).exception)
    assert "posthouse init" in str(told(DirectoryUnavailable("directory-unavailable", detail="no socket")))
