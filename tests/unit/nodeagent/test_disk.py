"""Room on disks: levels, hysteresis, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cluster.names import LOCAL_GROUP, MAIL_GROUP
from appliance.settings.registry import PARAMETERS
from nodeagent.agent.disk import DiskWatch, Level, Limits, Room, judge, notice

LIMITS = Limits(warning=85, critical=95, queue=75 * 2**20)
PLENTY = 10 * 2**30


def room(used: int = 10, inodes: int = 10, free: int = PLENTY) -> Room:
    return Room(Path("/srv/x"), 1, free, used, inodes)


@pytest.mark.parametrize(
    ("found", "before", "level"),
    [
        pytest.param(room(84), Level.GOOD, Level.GOOD, id="below"),
        pytest.param(room(85), Level.GOOD, Level.WARNING, id="a warning begins"),
        pytest.param(room(84), Level.WARNING, Level.WARNING, id="a warning stays a little below its beginning"),
        pytest.param(room(82), Level.WARNING, Level.GOOD, id="a warning ends"),
        pytest.param(room(95), Level.WARNING, Level.CRITICAL, id="critical"),
        pytest.param(room(94), Level.CRITICAL, Level.CRITICAL, id="critical stays"),
        pytest.param(room(92), Level.CRITICAL, Level.WARNING, id="critical ends"),
        pytest.param(room(inodes=96), Level.GOOD, Level.CRITICAL, id="inodes count too"),
        pytest.param(room(free=74 * 2**20), Level.GOOD, Level.REFUSING, id="less than Postfix needs"),
        pytest.param(room(free=80 * 2**20), Level.REFUSING, Level.REFUSING, id="hardly more than it needs"),
        pytest.param(room(free=80 * 2**20), Level.GOOD, Level.GOOD, id="enough"),
        pytest.param(room(free=91 * 2**20), Level.REFUSING, Level.GOOD, id="accepted again"),
    ],
)
def test_a_level_is_left_later_than_it_is_entered(found: Room, before: Level, level: Level) -> None:
    assert judge(found, LIMITS, before) is level


def test_what_is_told_says_how_bad_it_is_and_can_be_put_into_words() -> None:
    assert notice(room(), Level.GOOD, LIMITS) is None
    told = [notice(room(90), Level.WARNING, LIMITS), notice(room(inodes=96), Level.CRITICAL, LIMITS)]
    refusing = notice(room(free=2**20), Level.REFUSING, LIMITS)
    assert [each.key for each in told if each] == ["disk-warning", "inodes-critical"]
    assert refusing is not None
    assert refusing.grave


def test_a_real_file_system_is_looked_at_once_whatever_its_names() -> None:
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}
    full = {**defaults, "agent.disk_warning_percent": 0, "agent.disk_critical_percent": 101}
    watch = DiskWatch(lambda: [LOCAL_GROUP, MAIL_GROUP], lambda _: full)
    assert [each.key for each in watch.look(((Path("/"), Limits(0, 101)),) * 2)] == ["disk-warning"]
    assert {path for path, _ in watch.places()} >= {Path("/"), Path("/srv/posthouse/mail")}
