"""Volumes on a node as it ships, beside systemd's services with mount namespaces of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Node
from tests.lab.disk import SharedDisk

#: Runs one operation of the driver, as the keeper's children do; prints {} or the fault.
_SCRIPT = """
import json, sys
from pathlib import Path
from appliance.cluster.model import VolumeSpec
from nodeagent.resources.volumes import VolumeFault, driver
volume = driver(VolumeSpec(driver="block", source=sys.argv[1]), "store", Path("/srv/posthouse/mail"))
try:
    if sys.argv[2] == "attach":
        volume.attach(key=None, preempt_below=None, clear_mmp=False)
    else:
        volume.detach(force=False, patience=1.0)
except VolumeFault as fault:
    print(json.dumps({"key": fault.key, **fault.facts}))
else:
    print("{}")
"""
#: Sandboxed as the agent is, and as an engine is.
_AGENT = ("ProtectSystem=strict", "ReadWritePaths=/srv/posthouse", "PrivateTmp=yes", "PrivateDevices=yes")
_ENGINE = ("ProtectSystem=strict", "ReadWritePaths=/srv/posthouse/mail", "PrivateTmp=yes", "PrivateDevices=yes")


@pytest.fixture(scope="module")
def disk(lab: Lab) -> Iterator[SharedDisk]:
    made = lab.disk("lun", megabytes=64)
    yield made
    lab.remove_disk(made)


@pytest.fixture(scope="module")
def store(lab: Lab, disk: SharedDisk) -> Iterator[Node]:
    node = lab.node("volumes")
    disk.attach(node)
    try:
        node.boot().run("mkdir", "-p", "/srv/posthouse/mail")
        yield node
    finally:
        lab.remove_node(node)


def ask(node: Node, disk: SharedDisk, operation: str) -> dict[str, str]:
    said = node.run("/opt/posthouse/bin/python", "-c", _SCRIPT, disk.device, operation).stdout
    answer: dict[str, str] = json.loads(said)
    return answer


def start(node: Node, name: str, *properties: str) -> None:
    """A sandboxed service that lives on and touches nothing."""
    words = [word for each in properties for word in ("--property", each)]
    node.run("systemd-run", "--quiet", f"--unit={name}", "--property=Type=exec", *words, "sleep", "600")


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_agents_sandbox_does_not_keep_a_volume_that_is_given_up(store: Node, disk: SharedDisk, order: str) -> None:
    """Whether it started before the volume was mounted or was restarted meanwhile."""
    try:
        if order == "before":
            start(store, "agent-like", *_AGENT)
        assert ask(store, disk, "attach") == {}
        if order == "after":
            start(store, "agent-like", *_AGENT)
        assert disk.is_mounted_on(store.name)
        assert ask(store, disk, "detach") == {}
        assert not disk.is_mounted_on(store.name)
    finally:
        store.run("systemctl", "stop", "agent-like")


def test_with_an_engine_that_still_lives_the_driver_says_what_the_kernel_says(store: Node, disk: SharedDisk) -> None:
    """Its sandbox has the volume in it, open files or not. Whether that keeps the volume depends on the kernel."""
    assert ask(store, disk, "attach") == {}
    start(store, "engine-like", *_ENGINE)
    try:
        fault = ask(store, disk, "detach")
        assert disk.is_mounted_on(store.name) == bool(fault)
        if fault:
            assert fault["key"] == "volume-mounted-elsewhere"
            assert "sleep (" in fault["holders"]
    finally:
        store.run("systemctl", "stop", "engine-like")
    assert ask(store, disk, "detach") == {}
    assert not disk.is_mounted_on(store.name)
