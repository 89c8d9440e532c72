"""Keepers as processes, each with folders, control groups and mounts of its own, over one real store.

What stands for an engine is a process in the group's control group; what stands for the controller is the test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.cluster import keys
from appliance.cluster.decided import Placement, ProtocolTiming
from appliance.cluster.model import Basis, Role, ServiceGroup
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.store import Store
from appliance.node_file import NodeFile, StoreAccess, dump
from appliance.ownership.records import OwnerSeen, SessionSeen, owner_seen, session_seen
from appliance.ownership.transactions import grant
from nodeagent.resources.cgroups import group_slice
from tests.lab.polling import wait_until

UNIFIED = next(
    (root for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")) if (root / "cgroup.procs").exists()),
    Path("/nonexistent"),
)
#: Short, and with room for a machine that is busy.
TIMING = ProtocolTiming(renew=0.5, reply=0.75, demote=2.0, kill=2.0, watchdog=4.0, margin=0.5, takeover=6.0)
SHARED = GroupName("shared")

#: Every path of a node, and its control groups, over those of this machine.
_INSIDE = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
mkdir -p /etc/posthouse "$1/run" "$1/state" "$1/srv"
mount --bind "$1/etc" /etc/posthouse
mount -t tmpfs tmpfs /run && mkdir /run/posthouse && mount --bind "$1/run" /run/posthouse
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/posthouse && mount --bind "$1/state" /var/lib/posthouse
mount -t tmpfs tmpfs /srv && mkdir /srv/posthouse && mount --bind "$1/srv" /srv/posthouse
mount --bind "$2" "$3"
echo ready
read -r end
"""


@dataclass
class KeeperNode:
    """One node. Its keeper can be killed, stopped and started again; its folders outlive it, as /run does."""

    name: NodeName
    folder: Path
    pki: Path
    endpoint: str
    process: subprocess.Popen[bytes] | None = None
    machine: subprocess.Popen[bytes] | None = None
    engines: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.copytree(self.pki, self.folder / "etc/pki", symlinks=True)
        self._write_card(self.endpoint)
        self.cgroup.mkdir()

    def among_others(self) -> None:
        """Say that the store has another member, which does not answer: else it is this node's alone."""
        self._write_card(self.endpoint, "https://127.0.0.1:1")

    def _write_card(self, *endpoints: str) -> None:
        card = NodeFile(
            name=self.name,
            hostname=f"{self.name}.example.test",
            roles=frozenset({Role.STORE}),
            store=StoreAccess(endpoints=endpoints),
        )
        (self.folder / "etc/node.yaml").write_text(dump(card))

    @property
    def cgroup(self) -> Path:
        return UNIFIED / f"posthouse-{self.folder.name}-{os.getpid()}"

    def start(self) -> None:
        """Start the keeper, in a mount namespace that outlives it: what it mounted stays, as on a machine."""
        if self.machine is None:
            inside = ["sh", "-c", _INSIDE, "sh", str(self.folder), str(self.cgroup), str(UNIFIED)]
            self.machine = subprocess.Popen(
                ["unshare", "--mount", *inside], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert self.machine.stdout is not None
            assert self.machine.stdout.readline() == b"ready\n"
        enter = ["nsenter", "--mount", f"--target={self.machine.pid}", "env", f"--chdir={Path.cwd()}"]
        program = [sys.executable, "-c", "from nodeagent.ownership.main import main; main()"]
        log = (self.folder / "keeper.log").open("ab")
        with log:
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            self.process = subprocess.Popen([*enter, *program], stderr=log, stdout=log, env=environment)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the keeper's process; what it holds stays, as far as the kernel is concerned."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=40)
        self.process = None

    def end(self) -> None:
        """End everything of it."""
        if self.process is not None:
            self.kill()
        for engine in self.engines:
            engine.kill()
            engine.wait()
        if self.machine is not None:
            self.machine.communicate(timeout=20)
        for folder in (*self.cgroup.glob("*/*"), *self.cgroup.glob("*"), self.cgroup):
            if folder.is_dir():
                wait_until(f"{folder} is empty", lambda folder=folder: _removed(folder))  # type: ignore[misc]

    # --- what stands on it --------------------------------------------------------------------------------

    def marker(self, group: GroupName = SHARED) -> dict[str, Any] | None:
        """The keeper's word on a group; None where it does not stand."""
        with suppress(FileNotFoundError, ValueError):
            found: dict[str, Any] = json.loads((self.folder / "run/owned" / group).read_text())
            return found
        return None

    def serves(self, group: GroupName = SHARED) -> bool:
        return (self.marker(group) or {}).get("stage") == "active"

    @property
    def report(self) -> dict[str, Any]:
        """keeper.json, empty before there is one."""
        with suppress(FileNotFoundError, ValueError):
            found: dict[str, Any] = json.loads((self.folder / "run/keeper.json").read_text())
            return found
        return {}

    def mounts(self) -> list[str]:
        """What is mounted on the node below /srv/posthouse, as its keeper sees it."""
        assert self.machine is not None
        lines = Path(f"/proc/{self.machine.pid}/mountinfo").read_text().splitlines()
        return [target for line in lines if (target := line.split(" ")[4]).startswith("/srv/posthouse/")]

    def start_engine(self, group: GroupName = SHARED) -> subprocess.Popen[bytes]:
        """A process in the group's control group; it stops only when it is killed."""
        folder = self.cgroup / "posthouse.slice" / group_slice(group)
        folder.mkdir(parents=True, exist_ok=True)
        engine = subprocess.Popen(["sleep", "600"])
        (folder / "cgroup.procs").write_text(str(engine.pid))
        self.engines.append(engine)
        return engine

    @property
    def log(self) -> str:
        return (self.folder / "keeper.log").read_text()


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@dataclass
class Controller:
    """The test's hand in the store."""

    store: Store

    def desire(self, group: ServiceGroup) -> None:
        self.store.put(keys.group(group.name), group.model_dump_json())

    def place(self, node: NodeName | None, group: GroupName = SHARED) -> None:
        self.store.put(keys.placement(group), Placement(group=group, node=node).model_dump_json())

    def session(self, node: NodeName) -> SessionSeen | None:
        record = self.store.get(keys.session(node))
        return session_seen(record) if record else None

    def owner(self, group: GroupName = SHARED) -> OwnerSeen | None:
        record = self.store.get(keys.owner(group))
        return owner_seen(record) if record else None

    def wait_for_session(self, node: NodeName, after: int = 0) -> SessionSeen:
        """A session of the node whose epoch is later than `after`."""
        found: list[SessionSeen] = []

        def opened() -> bool:
            session = self.session(node)
            found[:] = [session] if session is not None and session.epoch > after else []
            return bool(found)

        wait_until(f"{node} opens a session", opened, timeout=20)
        return found[0]

    def grant(self, node: NodeName, group: GroupName = SHARED, basis: Basis = Basis.UNOWNED, after: int = 0) -> None:
        """Give the group to the node's session, whatever stands there now."""
        session = self.wait_for_session(node, after)
        owner = self.owner(group)
        outcome = grant(group, owner.epoch if owner else 0, session, basis).send(self.store, Seconds(3.0))
        assert outcome.succeeded


def events(store: Store) -> list[Mapping[str, Any]]:
    """The decision log, in order."""
    return [json.loads(record.value) for record in store.list(keys.EVENTS)[0]]


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
