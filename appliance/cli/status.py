"""`posthouse status`: one screen that says whether mail works here, and if not, why and what happens next."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import click
from pydantic import ValidationError

from appliance import paths
from appliance.cli.output import details, emit, json_option
from appliance.cluster.report import InstanceReport, NodeReport, Notice
from appliance.errors import PosthouseError
from appliance.i18n import lazy, translate

REPORT_FILE = paths.RUN / "status.json"
#: A report older than this many seconds says that the agent is not at work.
STALE_AFTER = 30.0


@click.command(help=lazy("status-help"))
@json_option
def status(as_json: bool) -> None:
    report = local_report()
    if report is None:
        raise PosthouseError("status-no-report")
    fresh = is_fresh(report)
    healthy = fresh and report.healthy
    data = {"healthy": healthy, "fresh": fresh, **report.model_dump(mode="json")}
    emit(data, as_json, lambda: screen(report, fresh))
    if not healthy:
        sys.exit(1)


def local_report() -> NodeReport | None:
    """The newest report of this node's agent; None before its first."""
    try:
        return NodeReport.model_validate_json(REPORT_FILE.read_text())
    except (OSError, ValidationError):
        return None


def is_fresh(report: NodeReport) -> bool:
    """Whether the agent still reports."""
    return time.time() - report.reported_at < STALE_AFTER


def screen(report: NodeReport, fresh: bool) -> Iterable[str]:
    """The lines of the screen: the verdict first, then each instance, then what is wrong."""
    healthy = fresh and report.healthy
    yield translate("status-verdict-healthy" if healthy else "status-verdict-unhealthy", node=report.node)
    yield ""
    yield from details(
        (instance.instance, f"{state_text(instance.state)}{_slowest(instance)}") for instance in report.instances
    )
    reasons = list(problems(report))
    if reasons:
        yield ""
        yield from (f"! {reason}" for reason in reasons)


def problems(report: NodeReport | None) -> Iterable[str]:
    """Everything that is wrong, a sentence each."""
    if report is None:
        yield translate("status-no-report")
        return
    if not is_fresh(report):
        yield translate("status-stale", seconds=int(time.time() - report.reported_at))
    if not report.store_connected:
        yield translate("status-store-away")
    for instance in report.instances:
        yield from _instance_problems(instance)
    yield from (in_words(warning) for warning in report.warnings)


def in_words(notice: Notice) -> str:
    """A notice in the reader's language; a newer agent's unknown key is shown as it is."""
    facts: dict[str, Any] = dict(notice.facts)
    return translate(notice.key, **facts)


def state_text(state: str) -> str:
    """An instance's state in the reader's language."""
    return translate(f"state-{state}")


def _instance_problems(instance: InstanceReport) -> Iterable[str]:
    if instance.state != "running":
        yield translate("status-instance", instance=instance.instance, state=state_text(instance.state))
    if instance.refused is not None:
        yield translate("status-refused", instance=instance.instance, reason=in_words(instance.refused))
    for probe in instance.probes:
        if probe.problem is not None:
            yield f"{instance.instance}: {probe.name}: {in_words(probe.problem)}"
    yield from (f"    {line}" for line in instance.last_log)


def _slowest(instance: InstanceReport) -> str:
    """The slowest probe's time in milliseconds."""
    took = max((probe.took for probe in instance.probes if probe.ok), default=0.0)
    return f"  {took * 1000:.0f} ms" if took else ""
