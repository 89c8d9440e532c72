"""The node's figures, as Prometheus reads them."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.report import (
    ClockReport,
    InstanceReport,
    NodeReport,
    Notice,
    ProbeReport,
    StandbyReport,
    VolumeCondition,
    VolumeReport,
)
from nodeagent.agent import machine
from nodeagent.agent.metrics import Figures, end, serve

REPORT = NodeReport(
    node=NodeName("one"),
    release="1",
    reported_at=0.0,
    store_connected=True,
    owned_groups=("local", "mail"),
    stopping_groups=("old",),
    instances=(
        InstanceReport(
            instance="postfix@mail",
            state="running",
            healthy=True,
            restarts=2,
            probes=(ProbeReport(name="smtp", ok=True, took=0.25),),
        ),
    ),
    warnings=(Notice(key="a", grave=True), Notice(key="b")),
    standby=(StandbyReport(group=GroupName("next"), ready=False),),
    volumes=(VolumeReport(group=GroupName("mail"), condition=VolumeCondition.READ_ONLY),),
    clock=ClockReport(synchronised=True, offset=-0.5),
)


def scraped(figures: Figures) -> dict[str, float]:
    serving = serve(figures, 0)
    try:
        port = serving.server.server_address[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    finally:
        end(serving)
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_prometheus_reads_what_the_agent_reports_and_the_keeper_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_KEEPER", tmp_path / "keeper.json")
    (tmp_path / "keeper.json").write_text('{"renewed_boottime": 1.0, "watchdog_armed": true}')
    found = scraped(Figures(lambda: REPORT, lambda: {NodeName("two"): False, NodeName("three"): None}))
    assert found.pop("posthouse_session_age_seconds") > 0
    assert found == {
        'posthouse_instance_healthy{instance="postfix@mail"}': 1,
        'posthouse_instance_failing{instance="postfix@mail"}': 0,
        'posthouse_instance_restarts_total{instance="postfix@mail"}': 2,
        'posthouse_probe_ok{instance="postfix@mail",probe="smtp"}': 1,
        'posthouse_probe_seconds{instance="postfix@mail",probe="smtp"}': 0.25,
        'posthouse_group_owned{group="local"}': 1,
        'posthouse_group_owned{group="mail"}': 1,
        'posthouse_group_stopping{group="old"}': 1,
        'posthouse_standby_ready{group="next"}': 0,
        'posthouse_volume_well{group="mail",volume=""}': 0,
        "posthouse_store_connected": 1,
        'posthouse_notices{grave="yes"}': 1,
        'posthouse_notices{grave="no"}': 1,
        'posthouse_peer_answers{node="two"}': 0,
        "posthouse_clock_offset_seconds": -0.5,
        "posthouse_watchdog_armed": 1,
    }


def test_before_the_first_report_there_is_little_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_KEEPER", tmp_path / "none")
    assert scraped(Figures(lambda: None, dict)) == {}
