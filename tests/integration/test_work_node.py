"""Scheduled work on a node as it is installed: the program in a unit of its own, in the group's slice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab import Node


@pytest.fixture
def purge(node: Node) -> Iterator[str]:
    """The removal of deleted mailboxes, scheduled for a day that is far off."""
    node.run("posthouse", "work", "set", "mail", "nightly", "--kind", "purge", "--cron", "0 3 30 2 *")
    yield "nightly"
    node.run("posthouse", "work", "delete", "mail", "nightly", "--yes")


def shown(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.run("posthouse", "work", "show", "mail", "nightly", "--json").stdout)
    return found


def units(node: Node) -> str:
    return node.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "posthouse-work-*").stdout.strip()


def test_it_is_done_now_in_the_groups_slice_and_leaves_no_unit(node: Node, purge: str) -> None:
    ordered = json.loads(node.run("posthouse", "work", "run", "mail", purge, "--json").stdout)
    node.wait_until("done", lambda: shown(node)["runs"][0]["state"] == "done")
    [run] = shown(node)["runs"]
    assert (run["id"], run["owner"], run["exit_code"], run["reason"]) == (ordered["id"], node.name, 0, "")
    node.wait_until("its unit is gone", lambda: units(node) == "")
    unit = f"posthouse-work-mail:{purge}:{run['id']}.service"
    said = node.run(
        "journalctl", "--unit", unit, "--output", "json", "--output-fields", "_SYSTEMD_SLICE,MESSAGE"
    ).stdout
    assert said.strip(), "systemd knew the unit by this name"


def test_the_list_says_how_it_ended(node: Node, purge: str) -> None:
    [row] = json.loads(node.run("posthouse", "work", "list", "--group", "mail", "--json").stdout)
    assert (row["name"], row["kind"], row["last"]["state"]) == (purge, "purge", "done")
    assert "nightly" in node.run("posthouse", "work", "list").stdout


@contextmanager
def silent_directory(node: Node) -> Iterator[None]:
    """A purge waits for as long as the directory says nothing."""
    node.run("systemctl", "kill", "--signal", "STOP", "posthouse-slapd@local")
    try:
        yield
    finally:
        node.run("systemctl", "kill", "--signal", "CONT", "posthouse-slapd@local")


def last(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = shown(node)["runs"][0]
    return found


def test_it_outlives_the_agent_and_its_end_is_told_by_the_next(node: Node, purge: str) -> None:
    with silent_directory(node):
        ordered = json.loads(node.run("posthouse", "work", "run", "mail", purge, "--json").stdout)
        node.wait_until("running", lambda: "activating" in units(node) and last(node)["state"] == "running")
        seen = "from nodeagent.resources.cgroups import work_units; print(work_units('mail'))"
        there = node.run("/opt/posthouse/bin/python", "-c", seen).stdout.strip()
        assert there == f"['posthouse-work-mail:{purge}:{ordered['id']}.service']", "what ends with the group finds it"
        before = node.run("systemctl", "show", "--value", "--property", "MainPID", "posthouse-work-*").stdout
        node.run("systemctl", "restart", "posthouse-agent")
        assert node.run("systemctl", "show", "--value", "--property", "MainPID", "posthouse-work-*").stdout == before
    node.wait_until("done", lambda: last(node)["state"] == "done")
    assert last(node)["id"] == ordered["id"]
    node.wait_until("its unit is gone", lambda: units(node) == "")


def test_one_that_takes_too_long_is_ended_and_says_so(node: Node, purge: str) -> None:
    words = ("--kind", "purge", "--cron", "0 3 30 2 *", "--patience", "2")
    node.run("posthouse", "work", "set", "mail", purge, *words)
    with silent_directory(node):
        node.run("posthouse", "work", "run", "mail", purge)
        node.wait_until("failed", lambda: last(node)["state"] == "failed", timeout=60.0)
    assert last(node)["reason"] == "work-run-too-long"
    node.wait_until("its unit is gone", lambda: units(node) == "")


def test_one_that_is_killed_says_so(node: Node, purge: str) -> None:
    with silent_directory(node):
        node.run("posthouse", "work", "run", "mail", purge)
        node.wait_until("running", lambda: "activating" in units(node) and last(node)["state"] == "running")
        node.run("systemctl", "stop", "posthouse-work-*")
        node.wait_until("told", lambda: last(node)["state"] == "failed")
    assert last(node)["reason"] == "work-run-killed"
    node.wait_until("its unit is gone", lambda: units(node) == "")


@contextmanager
def busy_systemd(node: Node) -> Iterator[None]:
    """What is to be started for work waits for a while; on a busy machine it does for a moment."""
    folder = "/run/systemd/system/posthouse-work-.service.d"
    node.run("systemd-run", "--no-block", "--unit", "lab-busy", "--property", "Type=oneshot", "sleep", "600")
    node.run("mkdir", "--parents", folder)
    node.run("tee", f"{folder}/lab.conf", input="[Unit]\nAfter=lab-busy.service\n")
    node.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        node.run("systemctl", "stop", "lab-busy")
        node.run("rm", "--recursive", folder)
        node.run("systemctl", "daemon-reload")


def test_one_that_systemd_has_yet_to_start_is_waited_for(node: Node, purge: str) -> None:
    with busy_systemd(node):
        node.run("posthouse", "work", "run", "mail", purge)
        node.wait_until("it waits", lambda: "posthouse-work-" in node.run("systemctl", "list-jobs").stdout)
        node.wait_until("it is begun", lambda: last(node)["state"] != "ordered")
        assert last(node)["state"] == "running"
    node.wait_until("done", lambda: last(node)["state"] == "done")
    node.wait_until("its unit is gone", lambda: units(node) == "")


def test_what_is_not_known_is_refused(node: Node, purge: str) -> None:
    assert node.run("posthouse", "work", "show", "mail", "weekly", check=False).returncode == 3
    bad = node.run("posthouse", "work", "set", "mail", "x", "--kind", "no", "--cron", "0 3 * * *", check=False)
    assert bad.returncode == 2
    assert "purge" in bad.stderr
    assert (
        node.run("posthouse", "work", "set", "mail", "x", "--kind", "purge", "--cron", "3", check=False).returncode == 2
    )
