"""The watchdog's choice, and what is said to a device that is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.cluster.names import Seconds
from nodeagent.ownership import watchdog
from nodeagent.ownership.machine import Machine
from nodeagent.ownership.watchdog import DeviceWatchdog, choose


def test_a_virtual_machine_has_none_whatever_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "watchdog"
    device.touch()
    monkeypatch.setattr(watchdog, "is_virtual", lambda: True)
    assert choose(str(device)) is None
    monkeypatch.setattr(watchdog, "is_virtual", lambda: False)
    assert isinstance(choose(str(device)), DeviceWatchdog)
    assert choose("none") is None
    assert choose(str(tmp_path / "absent")) is None


def test_a_machine_without_one_reports_none_and_arms_none() -> None:
    machine = Machine.this()
    assert machine.watchdog_kind == "none"
    assert machine.timer.arm(Seconds(7.0)) is None


def test_a_device_that_is_no_watchdog_is_never_taken_for_an_armed_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watchdog, "ARMED", tmp_path / "armed")
    device = tmp_path / "watchdog"
    device.touch()
    timer = DeviceWatchdog(device)
    assert timer.arm(Seconds(7.0)) is None


def test_a_watchdog_that_an_earlier_keeper_left_counting_is_closed_by_its_magic_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watchdog, "ARMED", tmp_path / "armed")
    device = tmp_path / "watchdog"
    device.touch()
    DeviceWatchdog(device).disarm()
    assert device.read_bytes() == b""  # nobody armed it: opening it would start it
    (tmp_path / "armed").touch()
    DeviceWatchdog(device).disarm()
    assert device.read_bytes() == b"V"
    assert not os.path.lexists(tmp_path / "armed")
