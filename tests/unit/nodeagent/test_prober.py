"""Verdicts of probes, as those who depend on an instance read them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from appliance.cluster.names import Seconds
from appliance.engines.base import Overloaded, Probe, ProbeFailed
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


async def _probed(probe: Probe, times: int) -> Prober:
    """A prober whose probe was asked so often."""
    asked, enough = 0, asyncio.Event()

    async def counted() -> None:
        nonlocal asked
        asked += 1
        if asked > times:
            enough.set()
        await probe.run()

    prober = Prober((replace(probe, run=counted, every=Seconds(0.01)),), lambda: None)
    prober.start()
    await asyncio.wait_for(enough.wait(), 10)
    for task in prober._tasks:
        task.cancel()
    return prober


async def _no() -> None:
    raise ProbeFailed("p", "no")


def test_who_is_overloaded_does_not_answer_and_has_not_failed() -> None:
    async def full() -> Overloaded | None:
        return Overloaded("imap", 2, "imap.process_limit")

    prober = asyncio.run(_probed(Probe("p", _no, overload=full), times=4))
    assert (prober.overloaded, prober.healthy, prober.failing_since) == (True, False, None)
    assert prober.verdicts["p"].failures == 0
    problem = prober.verdicts["p"].problem
    assert problem is not None
    assert (problem.key, problem.facts["limit"]) == ("probe-overloaded", 2)


def test_who_does_not_say_that_it_is_overloaded_has_failed() -> None:
    async def not_full() -> Overloaded | None:
        return None

    async def silent() -> Overloaded | None:
        raise ProbeFailed("p", "no answer")

    for overload in (not_full, silent):
        prober = asyncio.run(_probed(Probe("p", _no, overload=overload), times=4))
        assert not prober.overloaded
        assert prober.verdicts["p"].failures >= 4
