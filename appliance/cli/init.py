"""`posthouse init`: make this server a node and wait until mail works. Running it again changes nothing."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path

import click
import yaml
from pydantic import ValidationError

from appliance import node_file
from appliance.cli.output import json_option, plain
from appliance.cli.status import local_report, problems
from appliance.cluster.names import Seconds, node_name
from appliance.cluster.report import NodeReport
from appliance.errors import BadInput, PosthouseError
from appliance.i18n import lazy, translate
from appliance.installation import preflight, steps
from appliance.installation.alone import alone
from appliance.node_file import BadHostname, NodeFile

_HEALTHY_WITHIN = Seconds(90.0)
_POLL = Seconds(0.3)
#: Bytes; more than a few lines is no answer file.
_LARGEST_ANSWERS = 65536


@click.command(help=lazy("init-help"))
@click.option("--hostname", help=lazy("init-hostname-help"))
@click.option("--name", help=lazy("init-name-help"))
@click.option("--answers", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=lazy("init-answers-help"))
@click.option("--yes", is_flag=True, help=lazy("init-yes-help"))
@json_option
def init(hostname: str | None, name: str | None, answers: Path | None, yes: bool, as_json: bool) -> None:
    with alone() if os.geteuid() == 0 else nullcontext():
        _init(hostname, name, answers, yes=yes, as_json=as_json)


def _init(hostname: str | None, name: str | None, answers: Path | None, *, yes: bool, as_json: bool) -> None:
    given = read_answers(answers)
    identity = identify(given.hostname if hostname is None else hostname, given.name if name is None else name)
    say = _quiet if as_json else click.echo
    initialised = steps.already_initialised()
    found = preflight.findings(preflight.look(), initialised=initialised)
    if found:
        raise preflight.NotReady(found)
    if not yes and not initialised and not as_json:
        if not sys.stdin.isatty():
            raise BadInput("yes", "init-needs-yes")
        click.confirm(translate("init-confirm", hostname=identity.hostname), abort=True, default=True)
    began = time.time()
    changed = False
    for step in steps.steps(identity):
        did = step.run()
        changed = changed or did
        say(f"  {'+' if did else '='} {translate(step.key)}")
    report = wait_until_healthy(began)
    if as_json:
        click.echo(_as_json(identity, changed, report))
        return
    say(translate("init-done", hostname=identity.hostname))


def read_answers(file: Path | None) -> steps.Answers:
    """Read an answer file; raise BadInput naming the field."""
    if file is None:
        return steps.Answers()
    with file.open("rb") as opened:
        text = opened.read(_LARGEST_ANSWERS + 1)
    if len(text) > _LARGEST_ANSWERS:
        raise BadInput("answers", "init-answers-not-yaml", detail=f"> {_LARGEST_ANSWERS // 1024} KiB")
    try:
        return steps.Answers.model_validate(yaml.safe_load(text) or {})
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise BadInput("answers", "init-answers-not-yaml", detail=" ".join(str(error).split())) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "answers"
        raise BadInput(field, "init-answers-bad-field", detail=first["msg"]) from error


def identify(hostname: str | None, name: str | None) -> NodeFile:
    """This server's identity: what stands in node.yaml, else what is given, else what the system says.

    An initialised node keeps its identity; asking for another is refused.
    """
    if steps.already_initialised():
        have = node_file.read()
        for field, wanted, old in (("hostname", hostname, have.hostname), ("name", name, have.name)):
            if wanted is not None and wanted.lower().rstrip(".") != old:
                raise BadInput(field, "init-identity-is-set", value=wanted, old=old)
        return have
    full = socket.getfqdn() if hostname is None else hostname
    try:
        full = node_file.hostname(full)
    except BadHostname as error:
        raise BadInput("hostname", "init-bad-hostname", detail=str(error)) from error
    return NodeFile(name=node_name(full.split(".")[0] if name is None else name), hostname=full, roles=steps.ROLES)


def wait_until_healthy(began: float, groups: Collection[str] = ("mail",)) -> NodeReport:
    """Wait until the agent reports, later than `began` (Unix time), that everything runs and answers, and that the
    node owns `groups`; raise with the reasons otherwise."""
    until = time.monotonic() + _HEALTHY_WITHIN
    while True:
        report = local_report()
        if (
            report is not None
            and report.reported_at >= began
            and report.healthy
            and {*groups} <= {*report.owned_groups}
        ):
            return report
        if time.monotonic() >= until:
            raise PosthouseError("init-not-healthy", reasons="\n".join(f"- {line}" for line in problems(report)))
        time.sleep(_POLL)


def _as_json(identity: NodeFile, changed: bool, report: NodeReport) -> str:
    return json.dumps({"node": plain(identity), "changed": changed, "healthy": report.healthy}, indent=2)


def _quiet(_: str) -> None:
    """Progress is not part of a JSON answer."""
