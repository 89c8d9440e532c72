"""`posthouse status`: one screen that says whether mail works here, and if not, why and what happens next."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import click
from pydantic import ValidationError

from appliance import node_file, paths
from appliance.cli.output import details, emit, json_option, printable
from appliance.cluster.names import InstanceId
from appliance.cluster.report import InstanceReport, NodeReport, Notice
from appliance.errors import NotFound, PosthouseError
from appliance.i18n import lazy, translate
from appliance.node.commands import ask
from appliance.node_file import NodeFileRefused

REPORT_FILE = paths.RUN / "status.json"
FULL_REPORT_FILE = paths.RUN / "status-full.json"
#: A report older than this many seconds says that the agent is not at work.
STALE_AFTER = 30.0


@click.command(help=lazy("status-help"))
@json_option
def status(as_json: bool) -> None:
    must_be_set_up()
    report = local_report()
    fresh = report is not None and is_fresh(report)
    units = {} if fresh else engine_units()
    healthy = fresh and report is not None and report.healthy
    data = {"healthy": healthy, "fresh": fresh, "units": units, **(report.model_dump(mode="json") if report else {})}
    emit(data, as_json, lambda: screen(report, units))
    if not healthy:
        sys.exit(1)


def must_be_set_up() -> None:
    """Raise NotFound before `posthouse init`, NodeFileRefused when node.yaml is broken.

    Who may not read node.yaml is told what the report says.
    """
    try:
        node_file.read()
    except (NotFound, NodeFileRefused):
        raise
    except PosthouseError:
        return


def local_report() -> NodeReport | None:
    """The newest report of this node's agent, with log lines for who may read them; None before its first."""
    for file in (FULL_REPORT_FILE, REPORT_FILE):
        try:
            return NodeReport.model_validate_json(file.read_text())
        except (OSError, ValidationError):
            continue
    return None


def is_fresh(report: NodeReport) -> bool:
    """Whether the agent still reports."""
    return age(report) < STALE_AFTER


def age(report: NodeReport) -> float:
    """Seconds since the report."""
    return time.time() - report.reported_at


def engine_units() -> dict[str, str]:
    """Unit -> its ActiveState, asked of systemd itself: what is known while the agent is silent."""
    said = ask("systemctl", "show", "--property=Id,ActiveState", "posthouse-*@*.service") or ""
    return {unit: state for unit, state in parse_units(said).items() if not unit.startswith("posthouse-purge@")}


def parse_units(text: str) -> dict[str, str]:
    """Read `systemctl show` of several units: blocks of NAME=VALUE with an empty line between. Pure."""
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.split("\n\n")]
    return {block["Id"]: block.get("ActiveState", "") for block in blocks if block.get("Id")}


def screen(report: NodeReport | None, units: Mapping[str, str]) -> Iterable[str]:
    """The lines of the screen: the verdict first, then each instance, then what is wrong.

    `units`: what systemd says, when the agent does not.
    """
    fresh = report is not None and is_fresh(report)
    yield translate(verdict(report, units), node=report.node if report else socket.gethostname())
    if report is not None and fresh:
        yield ""
        yield from details(
            (instance.instance, f"{state_text(instance.state)}{_slowest(instance)}") for instance in report.instances
        )
    reasons = list(problems(report))
    if not fresh:
        reasons += [translate("status-unit", unit=unit, state=state) for unit, state in sorted(units.items())]
        reasons += [] if units else [translate("status-no-units")]
    if reasons:
        yield ""
        yield from (f"! {printable(reason)}" for reason in reasons)


def verdict(report: NodeReport | None, units: Mapping[str, str]) -> str:
    """The message key of the first line. Pure but for the clock."""
    if report is None or not is_fresh(report):
        return "status-verdict-unwatched" if _all_run(report, units) else "status-verdict-unwatched-down"
    if report.healthy:
        return "status-verdict-healthy"
    return "status-verdict-works" if report.mail_works else "status-verdict-unhealthy"


def _all_run(report: NodeReport | None, units: Mapping[str, str]) -> bool:
    """Whether every engine that was reported, or that systemd knows, is active; the agent leaves them so."""
    wanted = {InstanceId.parse(each.instance).unit for each in report.instances} if report else set()
    running = {unit for unit, state in units.items() if state in ("active", "reloading")}
    return bool(running) and running >= (wanted | units.keys())


def problems(report: NodeReport | None) -> Iterable[str]:
    """Everything that is wrong, a sentence each."""
    if report is None:
        yield translate("status-no-report")
        return
    if not is_fresh(report):
        yield translate("status-stale", seconds=int(age(report)))
        return  # what it said of engines may have changed since
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
