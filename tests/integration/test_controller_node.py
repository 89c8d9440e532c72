"""The controller as it is installed: a service without privileges that leads a cluster of one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Node
from tests.lab.appliance import initialise

UNIT = "posthouse-controller.service"


@pytest.fixture(scope="module")
def first(lab: Lab) -> Iterator[Node]:
    """The first node of a cluster."""
    node = lab.node("first").boot()
    initialise(node)
    node.run("posthouse", "cluster", "init", "--address", node.address, timeout=180)
    yield node
    lab.remove_node(node)


def leader(node: Node) -> str | None:
    said = node.run("posthouse", "cluster", "status", "--json", check=False).stdout
    found: str | None = json.loads(said)["leader"] if said.strip() else None
    return found


def show(node: Node, name: str) -> str:
    return node.run("systemctl", "show", "--value", "--property", name, UNIT).stdout.strip()


def test_it_leads_soon_after_the_cluster_was_made(first: Node) -> None:
    first.wait_until("the controller leads", lambda: leader(first) == first.name)
    report = json.loads(first.run("posthouse", "cluster", "status", "--json", check=False).stdout)["controller"]
    assert report["node"] == first.name
    assert report["waiting"] == []


def test_it_runs_without_privileges_and_its_keys_are_its_own(first: Node) -> None:
    pid = show(first, "MainPID")
    status = first.run("cat", f"/proc/{pid}/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    uid = first.run("id", "-u", "posthouse").stdout.strip()
    assert set(fields["Uid"].split()) == {uid}
    assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    command = first.run("cat", f"/proc/{pid}/cmdline").stdout
    assert "key" not in command
    modes = first.run("stat", "-c", "%U %a", "/etc/posthouse/pki/sealing.key").stdout.split()
    assert modes == ["root", "600"]


def test_a_restart_is_over_in_a_moment_and_it_leads_again(first: Node) -> None:
    first.run("systemctl", "restart", UNIT)
    first.wait_until("it leads again", lambda: leader(first) == first.name)
    assert show(first, "NRestarts") == "0"
