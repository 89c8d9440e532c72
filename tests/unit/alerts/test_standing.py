"""Which of a node's troubles wake somebody."""

from __future__ import annotations

from appliance.cluster.names import NodeName
from appliance.cluster.report import InstanceReport, NodeReport, Notice
from nodeagent.agent.alerts import standing


def report(state: str = "running", *, grave: bool = False, owned: bool = True) -> NodeReport:
    instance = InstanceReport(instance="postfix@mail", state=state, healthy=state == "running")
    return NodeReport(
        node=NodeName("a"),
        release="1",
        reported_at=0,
        store_connected=True,
        owned_groups=("mail",) if owned else (),
        instances=(instance,) if owned else (),
        warnings=(Notice(key="disk-full", grave=True),) if grave else (),
    )


def test_mail_that_works_wakes_nobody() -> None:
    assert standing(report()) == {}
    assert standing(report(owned=False)) == {}


def test_an_engine_that_is_down_and_a_grave_warning_do() -> None:
    assert "postfix@mail failed" in str(standing(report("failed"))["mail-down-a"].facts["reasons"])
    assert "disk-full" in str(standing(report(grave=True))["mail-down-a"].facts["reasons"])
