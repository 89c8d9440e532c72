"""Who keeps the clock, and whether it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.node.clock import Tracking, kernel_state, read, time_service, zone_name

FOLLOWING = (
    "CB00710B,203.0.113.11,3,1700000000.123456789,0.000012345,-0.000023456,0.000034567,-12.345,0.001,0.045,"
    "0.012345678,0.001234567,1024.5,Normal\n"
)
ALONE = "7F7F0101,,10,1700000000.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,64.0,Not synchronised\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FOLLOWING, Tracking("203.0.113.11", True, 0.000012345)),
        (ALONE, Tracking(None, False, 0.0)),
        ("506 Cannot talk to daemon\n", None),
        ("", None),
    ],
)
def test_chrony_says_what_it_follows_and_whether_it_is_in_step(text: str, expected: Tracking | None) -> None:
    assert Tracking.parse(text) == expected


@pytest.mark.parametrize(
    ("names", "service"),
    [
        (["systemd", "chronyd"], "chrony"),
        (["systemd-timesyn"], "systemd-timesyncd"),
        (["ntpd", "sshd"], "ntp"),
        (["sshd"], None),
    ],
)
def test_the_time_service_is_known_by_its_process(names: list[str], service: str | None) -> None:
    assert time_service(names) == service


def test_the_zone_is_the_target_of_localtime(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Shanghai")
    assert zone_name(tmp_path) == "Asia/Shanghai"
    assert zone_name(tmp_path / "nowhere")


def test_the_kernel_answers_about_its_clock() -> None:
    synchronised, error = kernel_state()
    assert synchronised in {True, False, None}
    assert error is None or error >= 0


def test_the_clock_carries_its_zone() -> None:
    assert read().now.tzinfo is not None
