"""The lab itself: what a test relies on when it kills, freezes and cuts off nodes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import CommandFailed, Lab, LabError, Node, wait_until
from tests.lab.host import REPOSITORY
from tests.lab.lab import REGISTRY, remove_stale
from tests.lab.network import namespace_path


def reaches(node: Node) -> bool:
    """Whether this process gets any answer from the node's network: also a refusal is one."""
    try:
        socket.create_connection((node.address, 1), timeout=0.5).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def test_a_node_boots_with_systemd_and_a_name_and_identity_of_its_own(fresh_node: Node, lab: Lab) -> None:
    other = lab.node("other").boot()
    try:
        ids = {each.run("cat", "/etc/machine-id").stdout for each in (fresh_node, other)}
        assert len(ids) == 2
        assert fresh_node.run("hostname", "--fqdn").stdout.strip() == fresh_node.hostname
        assert other.address in fresh_node.run("getent", "hosts", other.hostname).stdout
    finally:
        lab.remove_node(other)


def test_a_killed_node_keeps_its_disk_and_its_journal(fresh_node: Node) -> None:
    fresh_node.run("sh", "-c", "echo kept >/root/kept; logger before the end; sync")
    fresh_node.kill()

    assert not fresh_node.running
    assert "before the end" in fresh_node.journal()
    fresh_node.boot()
    assert fresh_node.run("cat", "/root/kept").stdout == "kept\n"


def test_a_node_is_told_at_once_that_nobody_resolves_names(fresh_node: Node) -> None:
    asked = "for i in $(seq 30); do getent hosts nobody.example; done; true"
    fresh_node.run("sh", "-c", asked, timeout=5)


def test_a_frozen_node_answers_nothing_until_it_is_thawed(fresh_node: Node) -> None:
    fresh_node.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        fresh_node.run("systemctl", "is-system-running", timeout=1)

    fresh_node.thaw()
    assert fresh_node.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")


def test_a_frozen_node_can_be_killed(fresh_node: Node) -> None:
    fresh_node.freeze()
    fresh_node.kill()
    assert not fresh_node.running


def test_an_unplugged_node_is_out_of_reach_until_it_is_plugged_in(fresh_node: Node) -> None:
    assert reaches(fresh_node)
    fresh_node.unplug()
    assert not reaches(fresh_node)
    fresh_node.plug()
    wait_until("reachable again", lambda: reaches(fresh_node))


def test_a_failing_command_says_what_it_printed(fresh_node: Node) -> None:
    with pytest.raises(CommandFailed, match="no such thing"):
        fresh_node.run("sh", "-c", "echo no such thing >&2; exit 7")


def test_a_command_that_takes_too_long_is_ended_inside_the_node_too(fresh_node: Node) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        fresh_node.run("sh", "-c", "sleep 4711; true", timeout=0.5)
    assert fresh_node.run("pgrep", "-f", "sleep 4711$", check=False).stdout == ""


def test_two_labs_do_not_meet(fresh_node: Node) -> None:
    with Lab.opened() as second:
        twin = second.node("twin").boot()
        second.nodes["twin"].unplug()
        assert reaches(fresh_node)
        with second.enter():
            assert not reaches(twin)


def test_a_lab_of_a_name_that_runs_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match="runs already"):
        Lab.create(lab.name)


def test_what_a_dead_owner_left_is_removed_by_the_next(lab: Lab) -> None:
    script = "from tests.lab import Lab; made = Lab.create(); made.node('orphan').boot(); print(made.name, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", script + "; input()"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        facts = json.loads((REGISTRY / name / "lab.json").read_text())
        orphan = Lab.attach(name).nodes["orphan"]
        assert orphan.running
        owner.kill()

    remove_stale()

    assert orphan.supervisor is None
    assert not (REGISTRY / name).exists()
    assert not namespace_path(orphan.machine).exists()
    assert not Path(facts["folder"]).exists()
