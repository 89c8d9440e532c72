"""A cluster without nodes: an etcd, keepers in threads, controllers in processes, power switches that are files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.cluster import keys
from appliance.cluster.decided import (
    Acknowledgement,
    ClusterEvent,
    ControllerReport,
    FenceRecord,
    FenceSpec,
    Leadership,
    Observation,
    Placement,
    ProtocolTiming,
    Wish,
)
from appliance.cluster.model import Node, Ownership, OwnershipStage, Role, ServiceGroup, VolumeDriver, VolumeSpec
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.cluster.timing import FenceMode, Timing
from appliance.coordination.store import Store
from appliance.pki import sealing
from tests.integration.controller.keepers import FakeKeeper
from tests.integration.etcd_server import EtcdServer
from tests.lab.polling import wait_until

ROOT = Path(__file__).parents[3]
FENCES = ROOT / "tests/lab"
#: Quicker than the product's, and in the same relations.
QUICK = Timing(Seconds(0.6), Seconds(0.7), Seconds(2.0), Seconds(0.5), Seconds(2.5), Seconds(0.3), Seconds(5.5))
PASSWORD = "open sesame"


@dataclass
class Stage:
    """Everything ends with `close`."""

    folder: Path
    server: EtcdServer
    store: Store
    keepers: dict[str, FakeKeeper] = field(default_factory=dict)
    controllers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def begin(self, *, mode: FenceMode = FenceMode.FENCED) -> None:
        """An empty store with quick timing."""
        for record in self.store.list(keys.PREFIX)[0]:
            self.store.delete(record.key)
        names = ("renew", "reply", "demote", "kill", "watchdog", "margin", "takeover")
        values = {name: getattr(QUICK, name) for name in names}
        self.store.put(keys.TIMING, ProtocolTiming(mode=mode, **values).model_dump_json())
        sealing.ensure_key(self.server.pki / "sealing.key")

    def close(self) -> None:
        for keeper in self.keepers.values():
            keeper.die()
        for process in self.controllers.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self.keepers.clear()
        self.controllers.clear()

    # --- what stands --------------------------------------------------------------------------------------

    def node(self, name: str, *, silence: bool = False, keeper: bool = True, idle: bool = False) -> FakeKeeper | None:
        record = Node(name=NodeName(name), roles=frozenset({Role.STORE, Role.CONTROL}))
        self.store.put(keys.node(record.name), record.model_dump_json())
        if not keeper:
            return None
        made = FakeKeeper(NodeName(name), self.store, QUICK, silence=silence, idle=idle).start()
        self.keepers[name] = made
        wait_until("a session", lambda: made.epoch)
        return made

    def group(self, name: str, *candidates: str, **more: Any) -> GroupName:
        for each in ("together", "apart", "start_after"):
            more[each] = frozenset(map(GroupName, more.get(each, ())))
        volume = VolumeSpec(driver=VolumeDriver.BLOCK, source="/dev/sdb")
        made = ServiceGroup(name=GroupName(name), volume=volume, candidates=tuple(map(NodeName, candidates)), **more)
        self.store.put(keys.group(made.name), made.model_dump_json())
        return made.name

    def fence(self, name: str, mode: str = "", *, timeout: float = 2.0, password: str = PASSWORD) -> Path:
        """A switch for the node, and how the cluster reaches it."""
        plug = self.folder / f"{name}.plug"
        plug.write_text("on")
        plug.with_suffix(".password").write_text(PASSWORD)
        plug.with_suffix(".mode").write_text(mode)
        plug.with_suffix(".log").write_text("")
        sealed = {"password": sealing.seal(password, self.server.pki / "sealing.key")}
        spec = FenceSpec(
            node=NodeName(name), agent="fence_file", parameters={"plug": str(plug)}, sealed=sealed, timeout=timeout
        )
        self.store.put(keys.fence_spec(spec.node), spec.model_dump_json())
        return plug

    def controller(self, name: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"controller-{name}.log").open("ab")
        words = [name, self.server.endpoint, str(self.server.pki), str(FENCES)]
        command = [sys.executable, "-m", "tests.integration.controller.process", *words]
        with log:
            process = subprocess.Popen(
                command, cwd=ROOT, stderr=log, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            )
        self.controllers[name] = process
        return process

    def wish(self, group: str, node: str | None = None, *, stopped: bool = False) -> None:
        wish = Wish(group=GroupName(group), node=None if node is None else NodeName(node), stopped=stopped)
        self.store.put(keys.wish(wish.group), wish.model_dump_json())

    def acknowledge(self, name: str, epoch: int) -> None:
        said = Acknowledgement(node=NodeName(name), session_epoch=epoch, by="test", at=datetime.now(UTC))
        self.store.put(keys.acknowledgement(said.node), said.model_dump_json())

    def observe(self, observer: str, *unanswered: str) -> None:
        said = Observation(observer=NodeName(observer), unanswered=frozenset(map(NodeName, unanswered)))
        self.store.put(keys.observation(said.observer), said.model_dump_json())

    # --- what is seen -------------------------------------------------------------------------------------

    def leader(self) -> str | None:
        record = self.store.get(keys.LEADER)
        return Leadership.model_validate_json(record.value).node if record else None

    def owner(self, group: str) -> Ownership | None:
        record = self.store.get(keys.owner(GroupName(group)))
        return Ownership.model_validate_json(record.value) if record else None

    def confirmed(self, group: str) -> str | None:
        """Who owns it and has it mounted."""
        owner = self.owner(group)
        return owner.node if owner is not None and owner.stage is OwnershipStage.CONFIRMED else None

    def placement(self, group: str) -> Placement | None:
        record = self.store.get(keys.placement(GroupName(group)))
        return Placement.model_validate_json(record.value) if record else None

    def fence_record(self, node: str) -> FenceRecord | None:
        record = self.store.get(keys.fence(NodeName(node)))
        return FenceRecord.model_validate_json(record.value) if record else None

    def report(self) -> ControllerReport | None:
        record = self.store.get(keys.CONTROLLER)
        return ControllerReport.model_validate_json(record.value) if record else None

    def events(self) -> list[ClusterEvent]:
        return [ClusterEvent.model_validate_json(record.value) for record in self.store.list(keys.EVENTS)[0]]

    def told(self, key: str) -> list[ClusterEvent]:
        return [event for event in self.events() if event.key == key]

    def explain(self) -> str:
        """For a test that fails."""
        records = {record.key.removeprefix(keys.PREFIX): record.value for record in self.store.list(keys.PREFIX)[0]}
        logs = "\n".join(path.read_text()[-4000:] for path in sorted(self.folder.glob("controller-*.log")))
        return f"{json.dumps(records, indent=1)}\n{logs}"

    def wait_until(self, what: str, condition: Any, timeout: float = 30.0) -> Any:
        return wait_until(what, condition, timeout=timeout, explain=self.explain)

    def wait_owned(self, expected: Mapping[str, str | None] | Iterable[tuple[str, str]]) -> None:
        wanted = dict(expected)
        self.wait_until(f"owned as {wanted}", lambda: {name: self.confirmed(name) for name in wanted} == wanted)
