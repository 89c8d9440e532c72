"""Keeps the alarms of one watcher (a node's agent, the leading controller) and has them told by a program of ours."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from appliance.alerts.hysteresis import Alarms, Message, Patience
from appliance.cluster.names import Seconds
from appliance.cluster.report import Notice

log = logging.getLogger("posthouse.alerts")

NAMES = (
    "alert.webhook_url", "alert.mail_relay", "alert.mail_to", "alert.snmp_receiver", "alert.snmp_community",
    "alert.syslog_server", "alert.language",
)  # fmt: skip

_PATIENCE = ("alert.raise_after", "alert.clear_after", "alert.repeat")


class AlertWatch:
    """`step` takes in what stands now. `run(text)` runs appliance.alerts.send with it and returns what it printed."""

    def __init__(self, host: str, run: Callable[[str], Awaitable[str]]) -> None:
        self._host = host
        self._run = run
        self._alarms = Alarms()

    async def step(self, standing: Mapping[str, Notice], settings: Mapping[str, Any], now: float) -> tuple[Notice, ...]:
        """Tell what is due; return notices of channels that failed, for the report."""
        raise_after, clear_after, repeat = (Seconds(settings[name]) for name in _PATIENCE)
        patience = Patience(raise_after, clear_after, repeat)
        self._alarms, messages = self._alarms.step(standing, now, patience)
        if not messages:
            return ()
        for each in messages:
            log.warning("alert %s: %s %s", each.kind, each.name, dict(each.notice.facts))
        answer = json.loads(await self._run(self._request(messages, settings)))
        return tuple(Notice(key="alert-not-sent", facts={"detail": str(why)}) for why in answer["failed"])

    def _request(self, messages: tuple[Message, ...], settings: Mapping[str, Any]) -> str:
        told = [
            {"name": each.name, "kind": each.kind.value, "notice": each.notice.model_dump(), "stood": each.stood}
            for each in messages
        ]
        return json.dumps({"settings": {name: settings[name] for name in NAMES}, "host": self._host, "messages": told})
