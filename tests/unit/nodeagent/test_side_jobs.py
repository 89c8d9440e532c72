"""What the keeper does beside the protocol: whoever asks for a job is told how it ended, whatever went wrong."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from appliance.cluster.model import ServiceGroup, VolumeSpec
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.errors import Unavailable
from nodeagent.ownership.side_jobs import Fault, SideJobs


@pytest.mark.parametrize("error", [Unavailable("store-closed"), OSError("no process"), ValueError("half an answer")])
def test_a_job_that_fails_in_whatever_way_is_told(error: Exception) -> None:
    class Forks:
        def start(self, *_: Any) -> Any:
            raise error

    told: list[Fault | None] = []
    ended = threading.Event()

    def back(news: Any) -> None:
        news()
        ended.set()

    jobs = SideJobs("addresses", NodeName("one"), Forks(), back)  # type: ignore[arg-type]
    jobs.start()
    group = ServiceGroup(name=GroupName("mail"), volume=VolumeSpec())
    jobs.do("readdress", group, Seconds(1.0), told.append)
    try:
        assert ended.wait(10.0)
    finally:
        jobs.end()
        jobs.join(10.0)
    assert len(told) == 1
    assert told[0] is not None
