"""The agent's rounds: a slow look at one instance holds up neither the others nor the report."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.cluster.model import ServiceGroup
from appliance.cluster.names import InstanceId, Seconds
from appliance.cluster.report import NodeReport
from appliance.node_file import NodeFile, parse
from nodeagent.agent import agent as module
from nodeagent.agent import restarts
from nodeagent.agent.agent import Agent
from nodeagent.agent.event_pen import EventPen
from nodeagent.agent.housekeeping import Housekeeping
from nodeagent.ownership import memory
from nodeagent.ownership.decide import Held
from nodeagent.resources.units import Units

NODE: NodeFile = parse("name: mail1\nhostname: mail1.example.com\nroles: [control, directory]\n")


class SlowAgent(Agent):
    """Looks at etcd for ever; counts looks at everything else."""

    looks = 0

    async def _one(self, identity: InstanceId, group: ServiceGroup) -> None:
        if identity.engine == "etcd":
            await asyncio.Event().wait()
        self.looks += 1


def test_a_slow_look_holds_up_neither_the_other_looks_nor_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from appliance import paths  # noqa: PLC0415 - beside what is changed in it
    from appliance.cluster.names import LOCAL_GROUP  # noqa: PLC0415

    monkeypatch.setattr(paths, "OWNED", tmp_path / "owned")
    monkeypatch.setattr(restarts, "LEDGER", tmp_path / "restarts.json")
    for name in ("KEPT", "REPORT_FILE", "FULL_REPORT_FILE"):
        monkeypatch.setattr(module, name, tmp_path / name)
    for name in ("PATIENCE", "TICK", "HEARTBEAT", "_FAREWELL"):
        monkeypatch.setattr(module, name, Seconds(0.02))
    monkeypatch.setattr(module, "version", lambda _: "1")  # the tests run beside an installed package, or without one
    memory.mark_owned(LOCAL_GROUP, Held(exclusive=True))

    async def run() -> int:
        ended = asyncio.Event()
        reports: list[str] = []

        def publish(text: str) -> None:
            reports.append(text)
            if len(reports) >= 3 and agent.looks >= 3:
                ended.set()

        agent = SlowAgent(NODE, Units(), Housekeeping(()), EventPen(NODE.name, lambda key, text: None))
        await asyncio.wait_for(agent.run(ended, publish), 10)
        return len(reports)

    assert asyncio.run(run()) >= 3
    assert NodeReport.model_validate_json((tmp_path / "REPORT_FILE").read_text()).node == "mail1"
    assert (tmp_path / "FULL_REPORT_FILE").stat().st_mode & 0o777 == 0o600
