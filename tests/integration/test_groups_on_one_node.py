"""Several groups on one node, by the agent: own addresses and ports, stopping one, standing by, arriving.

The keeper is away and its markers are written by hand: what the agent does with each word of them is what is shown.
"""

from __future__ import annotations

import json
import smtplib
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from appliance.cluster import keys
from appliance.cluster.model import ServiceGroup, VolumeSpec
from appliance.cluster.names import EngineName, GroupName, NodeName
from appliance.engines import topology
from tests.lab import Lab, Node
from tests.lab.appliance import initialise, status, wait_healthy

SECOND = GroupName("second")
ADDRESS = "10.57.0.201"
ENGINES = ("posthouse-postfix@second.service", "posthouse-dovecot@second.service")
SERVICES = (EngineName("dovecot"), EngineName("postfix"))
_ETCDCTL = (
    "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/posthouse/pki/ca.crt "
    "--cert=/etc/posthouse/pki/node.crt --key=/etc/posthouse/pki/node.key"
)
_RING = (
    "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'', '/run/posthouse/agent.wake')"
)  # fmt: skip


def put(node: Node, group: ServiceGroup) -> None:
    node.run("sh", "-c", f"{_ETCDCTL} put {keys.group(group.name)}", input=group.model_dump_json())


def mark(node: Node, stage: str | None, *, epoch: int = 1, basis: str = "unowned") -> None:
    """What the keeper does: write the marker, or take it away, and ring."""
    marker = node.root / "run/posthouse/owned" / SECOND
    if stage is None:
        marker.unlink()
    else:
        staged = marker.with_name(f".{SECOND}")
        staged.write_text(json.dumps({"exclusive": False, "epoch": epoch, "stage": stage, "basis": basis}))
        staged.replace(marker)
    node.run("python3", "-c", _RING, check=False)  # the agent may be away


def standby(node: Node) -> dict[str, Any]:
    return next((each for each in status(node).get("standby", ()) if each["group"] == SECOND), {})


def greets(address: str) -> bool:
    try:
        with smtplib.SMTP(address, 25, timeout=5) as session:
            return session.ehlo("client.test")[0] == 250
    except OSError:
        return False


def listening(node: Node) -> set[tuple[str, int]]:
    """Address and port of every listener, the node's resolver and the like included."""
    found = set()
    for line in node.run("ss", "--no-header", "--listening", "--tcp", "--numeric").stdout.splitlines():
        address, _, port = line.split()[3].rpartition(":")
        found.add((address.strip("[]"), int(port)))
    return found


@pytest.fixture(scope="module")
def side(lab: Lab) -> Iterator[Node]:
    """A node whose mail group has an address, and a second group that may come; its keeper is away."""
    node = lab.node("side").boot()
    try:
        initialise(node)
        mail = ServiceGroup(
            name=GroupName("mail"),
            addresses=(ip_address(node.address),),
            services=SERVICES,
            candidates=(NodeName("side"),),
        )
        put(node, mail)
        node.wait_until("the mail group has its address", lambda: (node.address, 25) in listening(node))
        wait_healthy(node)
        node.run("systemctl", "mask", "--runtime", "--now", "posthouse-keeper.service")
        node.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
        second = ServiceGroup(
            name=SECOND,
            volume=VolumeSpec(),
            addresses=(ip_address(ADDRESS),),
            services=SERVICES,
            candidates=(NodeName("side"), NodeName("other")),
        )
        put(node, second)
        yield node
    finally:
        lab.remove_node(node)


@pytest.fixture
def both(side: Node) -> Iterator[Node]:
    """The second group runs as well, without having come from elsewhere; afterwards it is given up."""
    side.wait_until("ready", lambda: standby(side).get("ready"))
    mark(side, "active")
    try:
        side.wait_until("it answers", lambda: greets(ADDRESS))
        wait_healthy(side)
        yield side
    finally:
        mark(side, "stopping")
        side.wait_until("its engines have ended", lambda: not any(map(side.active, ENGINES)))
        mark(side, None)


def test_a_group_that_may_come_is_ready_before_it_comes_and_has_nothing_of_its_volume_here(side: Node) -> None:
    side.wait_until("ready", lambda: standby(side).get("ready"))
    assert not any(map(side.active, ENGINES))
    assert not (side.root / "srv/posthouse" / SECOND).exists()
    assert (side.root / "run/posthouse" / SECOND / "postfix/domains.cdb").exists()


def test_groups_side_by_side_listen_on_their_own_addresses_and_on_no_other(both: Node) -> None:
    ports = (topology.SMTP, topology.SUBMISSION, topology.SUBMISSIONS, topology.IMAP, topology.IMAPS)
    found = listening(both)
    for port in ports:
        assert {address for address, number in found if number == port} == {both.address, ADDRESS}
    reentry = {address for address, number in found if number == topology.REENTRY}
    assert reentry == {topology.reentry_host(GroupName("mail")), topology.reentry_host(SECOND)}
    assert greets(both.address)


def test_a_group_that_stops_leaves_the_other_alone_and_is_ready_again(both: Node) -> None:
    before = both.run("systemctl", "show", "--property=MainPID", "posthouse-postfix@mail.service").stdout
    mark(both, "stopping")
    both.wait_until("its engines have ended", lambda: not any(map(both.active, ENGINES)))
    assert all(each["instance"].endswith(("@local", "@mail")) for each in status(both)["instances"])
    mark(both, None)
    both.wait_until("ready", lambda: standby(both).get("ready"))
    after = both.run("systemctl", "show", "--property=MainPID", "posthouse-postfix@mail.service").stdout
    assert after == before
    assert greets(both.address)


def test_an_agent_that_has_just_been_restarted_stops_what_is_to_be_stopped_and_nothing_else(both: Node) -> None:
    before = both.run("systemctl", "show", "--property=MainPID", "posthouse-postfix@mail.service").stdout
    both.run("systemctl", "stop", "posthouse-agent.service")
    mark(both, "stopping")
    assert all(map(both.active, ENGINES))
    both.run("systemctl", "start", "posthouse-agent.service")
    both.wait_until("its engines have ended", lambda: not any(map(both.active, ENGINES)))
    wait_healthy(both)
    after = both.run("systemctl", "show", "--property=MainPID", "posthouse-postfix@mail.service").stdout
    assert after == before


def test_an_agent_that_is_restarted_keeps_what_runs(both: Node) -> None:
    units = (
        *ENGINES,
        "posthouse-postfix@mail.service",
        "posthouse-slapd@local.service",
        "posthouse-etcd@local.service",
    )
    show = ("systemctl", "show", "--property=MainPID,ActiveEnterTimestampMonotonic", *units)
    before = both.run(*show).stdout
    both.run("systemctl", "restart", "posthouse-agent.service")
    wait_healthy(both)
    assert both.run(*show).stdout == before


def test_deferred_mail_is_tried_at_once_when_a_group_arrives_and_that_is_recorded(side: Node) -> None:
    epoch = int(time.time())

    def recorded() -> list[dict[str, Any]]:
        events = json.loads(side.run("posthouse", "events", "--json", "--group", SECOND).stdout)
        return [event for event in events if event["key"] == "event-queue-flushed"]

    count = len(recorded())
    side.wait_until("ready", lambda: standby(side).get("ready"))
    mark(side, "active", epoch=epoch, basis="fenced")
    try:
        side.wait_until("it is recorded", lambda: len(recorded()) == count + 1)
        side.run("systemctl", "restart", "posthouse-agent.service")
        wait_healthy(side)
        assert len(recorded()) == count + 1
    finally:
        mark(side, "stopping", epoch=epoch, basis="fenced")
        side.wait_until("its engines have ended", lambda: not any(map(side.active, ENGINES)))
        mark(side, None)


def test_the_nodes_figures_are_told_on_the_port_that_is_set_and_nowhere_else(side: Node) -> None:
    port = 7392

    def told() -> str:
        url = f"http://127.0.0.1:{port}/metrics"
        read = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=5).read().decode())"
        return side.run("python3", "-c", read, check=False).stdout

    assert told() == ""
    side.run("posthouse", "settings", "set", "agent.metrics_port", str(port))
    try:
        side.wait_until("figures", lambda: 'posthouse_group_owned{group="mail"} 1.0' in told())
        assert {address for address, number in listening(side) if number == port} == {"127.0.0.1"}
    finally:
        side.run("posthouse", "settings", "reset", "agent.metrics_port")
    side.wait_until("none", lambda: told() == "")
