"""Verdicts of probes, as those who depend on an instance read them."""

from __future__ import annotations

import asyncio
import time

from appliance.cluster.names import Seconds
from appliance.engines.base import Probe, ProbeFailed
from nodeagent.health.prober import Prober


def test_an_old_answer_does_not_clear_an_instance_and_a_hurried_one_does() -> None:
    async def run() -> None:
        turned = asyncio.Event()

        async def answer() -> None:
            turned.set()

        prober = Prober((Probe("p", answer, every=Seconds(3600.0)),), lambda: None)
        prober.start()
        await asyncio.wait_for(turned.wait(), 5)
        turned.clear()
        await asyncio.sleep(0)
        moment = time.monotonic()
        assert prober.well_since(moment - 60) is True
        assert prober.well_since(moment) is None
        prober.hurry()
        await asyncio.wait_for(turned.wait(), 5)
        await asyncio.sleep(0)
        assert prober.well_since(moment) is True
        await prober.stop()

    asyncio.run(run())


def test_failures_are_dated_and_can_be_forgiven() -> None:
    async def run() -> None:
        failed = asyncio.Event()

        async def fail() -> None:
            failed.set()
            raise ProbeFailed("p", "no")

        prober = Prober((Probe("p", fail, every=Seconds(3600.0)),), lambda: None)
        before = time.monotonic()
        prober.start()
        assert prober.failing_since is None
        await asyncio.wait_for(failed.wait(), 5)
        await asyncio.sleep(0)
        assert (prober.failing_since or 0) >= before
        assert prober.well_since(before) is False
        prober.forgive()
        assert prober.failing_since is None
        assert prober.well_since(before) is False
        await prober.stop()

    asyncio.run(run())
