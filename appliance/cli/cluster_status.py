"""`posthouse cluster status`: one screen that says what the whole cluster does, for somebody woken at night."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from unicodedata import category

import click

from appliance.cli.node import moment
from appliance.cli.output import Column, emit, json_option, printable, table
from appliance.cli.status import in_words, problems
from appliance.cluster.decided import ClusterEvent
from appliance.cluster.report import Notice
from appliance.coordination import connect
from appliance.i18n import lazy, translate
from appliance.operations.overview import GroupLine, GroupState, NodeLine, NodeState, Overview, read


@click.command("status", help=lazy("cluster-status-help"))
@json_option
def cluster_status(as_json: bool) -> None:
    with connect() as store:
        seen = read(store)
    emit({"healthy": seen.healthy, **_data(seen)}, as_json, lambda: screen(seen))
    if not seen.healthy:
        sys.exit(1)


def _data(seen: Overview) -> dict[str, object]:
    return {
        "leader": seen.leader,
        "controller": seen.controller,
        "nodes": seen.nodes,
        "groups": seen.groups,
        "events": seen.events,
        "unreadable": seen.unreadable,
    }


def screen(seen: Overview) -> Iterable[str]:
    """The verdict, the groups, the nodes, what is wrong, and what happened last."""
    yield translate("cluster-verdict-healthy" if seen.healthy else "cluster-verdict-ill")
    yield ""
    yield from table(seen.groups, GROUP_COLUMNS)
    yield ""
    yield from table(seen.nodes, NODE_COLUMNS)
    yield ""
    leader = seen.leader
    yield translate("cluster-leader", node=leader) if leader else translate("cluster-no-leader")
    if seen.controller is not None:
        yield translate("controller-since", since=moment(seen.controller.since) or "")
    reasons = list(_reasons(seen))
    if reasons:
        yield ""
        yield from (f"! {printable(reason)}" for reason in reasons)
    if seen.events:
        yield ""
        yield translate("cluster-latest")
        yield from (f"  {event_line(each)}" for each in seen.events)


def _reasons(seen: Overview) -> Iterable[str]:
    if seen.controller is not None:
        for each in seen.controller.waiting:
            yield translate("controller-waits", node=each.node, groups=", ".join(each.groups))
        yield from (in_words(notice) for notice in seen.controller.notices)
    for group in seen.groups:
        if group.state in (GroupState.WAITING, GroupState.ILL, GroupState.STOPPED) and group.reason:
            why = in_words(Notice(key=group.reason, facts=dict(group.facts)))
            yield translate("cluster-group-reason", group=group.name, reason=why)
    for node in seen.nodes:
        if node.state is not NodeState.ALIVE:
            yield translate("cluster-node-state", node=node.name, state=translate(f"node-state-{node.state.value}"))
        if node.fence is None and any("store" in role for role in node.roles) and len(seen.nodes) > 1:
            yield translate("cluster-node-no-fence", node=node.name)
        if node.report is not None and node.state is NodeState.ALIVE:
            yield from (f"{node.name}: {line.strip()}" for line in problems(node.report))
    yield from (translate("cluster-unreadable", key=key) for key in seen.unreadable)


def event_line(event: ClusterEvent) -> str:
    """One event in the reader's language, one line: every node may write events, and none may command a terminal."""
    told = in_words(Notice(key=event.key, facts=dict(event.facts)))
    about = " ".join(filter(None, (event.group, event.node)))
    line = f"{moment(event.at)}  {event.by}  {event.part}  {f'{about}: ' if about else ''}{told}"
    return "".join("\N{REPLACEMENT CHARACTER}" if category(each) == "Cc" else each for each in line)


def _group_state(line: GroupLine) -> str:
    return translate(f"group-state-{line.state.value}")


def _node_state(line: NodeLine) -> str:
    state = translate(f"node-state-{line.state.value}")
    return f"{state}, {translate('node-drained')}" if line.drained else state


def _fence(line: NodeLine) -> str | None:
    """The program, and whether it answers: what it last said well may be a while ago."""
    if line.fence is None:
        return None
    if line.fence_problem is not None:
        return translate(f"cluster-fence-{line.fence_problem.value}", agent=line.fence)
    if line.fence_read is None:
        return translate("cluster-fence-unread", agent=line.fence)
    at = line.fence_read.astimezone()
    recent = datetime.now(UTC) - at < timedelta(hours=12)
    return translate("cluster-fence-read", agent=line.fence, at=at.strftime("%H:%M" if recent else "%Y-%m-%d %H:%M"))


GROUP_COLUMNS = (
    Column("cluster-column-group", lambda line: line.name),
    Column("cluster-column-state", _group_state),
    Column("cluster-column-owner", lambda line: line.owner),
    Column("cluster-column-placed", lambda line: line.placed),
    Column("cluster-column-addresses", lambda line: line.addresses),
    Column("cluster-column-basis", lambda line: line.basis and translate(f"basis-{line.basis.replace('_', '-')}")),
)
NODE_COLUMNS = (
    Column("cluster-column-node", lambda line: line.name),
    Column("cluster-column-state", _node_state),
    Column("cluster-column-roles", lambda line: line.roles),
    Column("cluster-column-address", lambda line: line.address),
    Column("cluster-column-owns", lambda line: line.groups),
    Column("cluster-column-standby", lambda line: line.standby),
    Column("cluster-column-fence", _fence),
    Column("cluster-column-release", lambda line: line.release),
)
