"""What a volume's answers mean."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from appliance.cluster.model import ServiceGroup, VolumeSpec
from appliance.cluster.model import VolumeDriver as Kind
from appliance.cluster.names import GroupName
from appliance.cluster.report import VolumeCondition
from nodeagent.health.volume_writer import NOT_MOUNTED
from nodeagent.health.volumes import MISSES_UNTIL_HANGING, Answer, Seen, judge, parse, watched

PATH = Path("/srv/posthouse/mail")
GOOD = Answer(0, 10**9, 10**6, 10**6)
HANGS = MISSES_UNTIL_HANGING


@pytest.mark.parametrize(
    ("seen", "condition", "key"),
    [
        (Seen(), VolumeCondition.UNKNOWN, None),
        (Seen(GOOD), VolumeCondition.WELL, None),
        (Seen(GOOD, open=True, misses=HANGS - 1), VolumeCondition.WELL, None),
        (Seen(GOOD, open=True, misses=HANGS), VolumeCondition.HANGING, "volume-hangs"),
        (Seen(None, open=True, misses=HANGS), VolumeCondition.HANGING, "volume-hangs"),
        (Seen(GOOD, read_only=True), VolumeCondition.READ_ONLY, "volume-read-only"),
        (Seen(Answer(errno.EROFS)), VolumeCondition.READ_ONLY, "volume-read-only"),
        (Seen(Answer(errno.EIO)), VolumeCondition.READ_ONLY, "volume-write-failed"),
        (Seen(Answer(errno.EACCES)), VolumeCondition.READ_ONLY, "volume-write-failed"),
        (Seen(Answer(errno.ENOSPC)), VolumeCondition.FULL, "volume-full"),
        (Seen(Answer(errno.EDQUOT)), VolumeCondition.FULL, "volume-full"),
        (Seen(Answer(0, 4096, 10**6, 10**6)), VolumeCondition.FULL, "volume-full"),
        (Seen(Answer(0, 10**9, 3, 10**6)), VolumeCondition.FULL, "volume-full"),
        (Seen(Answer(0, 10**9, 0, 0)), VolumeCondition.WELL, None),
        (Seen(Answer(NOT_MOUNTED)), VolumeCondition.UNKNOWN, "volume-not-mounted"),
    ],
)
def test_a_volume_is_judged(seen: Seen, condition: VolumeCondition, key: str | None) -> None:
    found, problem = judge(seen, PATH)
    assert found is condition
    assert (problem.key if problem else None) == key
    assert problem is None or problem.grave


def test_an_answer_is_read() -> None:
    assert parse("/srv/posthouse/mail\t0\t1024\t5\t9") == (PATH, Answer(0, 1024, 5, 9))
    with pytest.raises(ValueError, match="unpack"):
        parse("something else")


def test_every_volume_of_a_group_is_watched_and_folders_need_no_mount() -> None:
    block = VolumeSpec(driver=Kind.BLOCK, source="/dev/x")
    groups = [
        ServiceGroup(name=GroupName("mail"), volume=block, extra_volumes={GroupName("index"): block}),
        ServiceGroup(name=GroupName("web")),
    ]
    found = watched(groups, lambda group: Path("/v") / group)
    assert [(str(path), each.group, each.name, each.mount) for path, each in found.items()] == [
        ("/v/mail", "mail", "", True),
        ("/v/mail/index", "mail", "index", True),
        ("/v/web", "web", "", False),
    ]
