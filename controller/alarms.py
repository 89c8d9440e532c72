"""What the leader wakes the operator for: a node that is lost, a group that nobody serves. Pure but for telling."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from appliance.alerts.watch import NAMES, PATIENCE, PROGRAM, TELLING, AlertWatch, failures
from appliance.cluster import keys
from appliance.cluster.decided import OperatorNeeded
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.report import Notice
from appliance.errors import BadInput
from appliance.settings.sections import alert as section
from controller.cases import Known

log = logging.getLogger("posthouse.controller")


def standing(
    known: Known,
    kept: Collection[GroupName],
    goals: Mapping[GroupName, NodeName | None],
    waiting: Iterable[OperatorNeeded],
    fences: Mapping[NodeName, Notice] = MappingProxyType({}),
) -> dict[str, Notice]:
    """What is wrong now. `kept`: groups in good hands; `goals`: where each should be; `waiting`: for an operator.

    `fences`: what is wrong with which node's.
    """
    found: dict[str, Notice] = {f"fence-{node}": notice for node, notice in fences.items()}
    for name in known.view.facts(keys.NODES):
        if name not in known.usable:
            key = "alert-node-silent" if name in known.look.sessions else "alert-node-gone"
            found[f"node-lost-{name}"] = Notice(key=key, facts={"node": name}, grave=True)
    stuck = {group for each in waiting for group in each.groups}
    wishes = known.view.facts(keys.WISHES)
    for group in known.groups:
        wish = wishes.get(group)
        if group in kept or (wish is not None and wish.stopped):
            continue
        if group in stuck:
            key = "alert-group-needs-you"
        else:
            key = "alert-group-waits" if goals.get(group) is None else "alert-group-late"
        found[f"group-down-{group}"] = Notice(key=key, facts={"group": group}, grave=True)
    return found


def settings_of(stored: Mapping[str, str]) -> dict[str, Any]:
    """The settings of alerts; a stored value that is not valid counts for nothing."""
    found = {}
    for parameter in section.PARAMETERS:
        if parameter.name not in (*NAMES, *PATIENCE):
            continue
        text = stored.get(parameter.name)
        try:
            found[parameter.name] = parameter.default if text is None else parameter.load(text)
        except BadInput:
            found[parameter.name] = parameter.default
    return found


class Teller:
    """Has alerts told beside the loop, one program at a time."""

    def __init__(self, host: str) -> None:
        self._watch = AlertWatch(host)
        self._thread: threading.Thread | None = None
        self.notices: tuple[Notice, ...] = ()

    def step(self, what: Mapping[str, Notice], stored: Mapping[str, str], now: float) -> None:
        """Take in what stands; while one telling is under way, nothing else is told."""
        if self._thread is not None and self._thread.is_alive():
            return
        request = self._watch.step(what, settings_of(stored), now)
        if request is not None:
            self._thread = threading.Thread(target=self._tell, args=(request,), name="alerts", daemon=True)
            self._thread.start()

    def _tell(self, request: str) -> None:
        try:
            done = subprocess.run(
                [sys.executable, "-m", PROGRAM],
                input=request, capture_output=True, text=True, timeout=TELLING, check=True,
            )  # fmt: skip
            self.notices = failures(done.stdout)
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            log.error("alerts were not told: %s", error)
            self.notices = (Notice(key="alert-not-sent", facts={"detail": type(error).__name__}),)
