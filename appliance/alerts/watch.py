"""Keeps the alarms of one watcher: a node's agent, or the leading controller. Telling is a program's work (`send`)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from appliance.alerts.hysteresis import Alarms, Message, Patience
from appliance.cluster.names import Seconds
from appliance.cluster.report import Notice

log = logging.getLogger("posthouse.alerts")

#: The program, for `python -m`.
PROGRAM = "appliance.alerts.send"
#: So long it may take: every channel has a deadline of its own.
TELLING = Seconds(90.0)
#: The settings that it reads.
NAMES = (
    "alert.webhook_url", "alert.mail_relay", "alert.mail_to", "alert.snmp_receiver", "alert.snmp_community",
    "alert.syslog_server", "alert.language",
)  # fmt: skip
PATIENCE = ("alert.raise_after", "alert.clear_after", "alert.repeat")


class AlertWatch:
    """What stands, and what of it was told."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._alarms = Alarms()

    def step(self, standing: Mapping[str, Notice], settings: Mapping[str, Any], now: float) -> str | None:
        """Take in what stands now; return what the program is to be given, or None when nothing is due."""
        patience = Patience(*(Seconds(settings[name]) for name in PATIENCE))
        self._alarms, messages = self._alarms.step(standing, now, patience)
        for each in messages:
            log.warning("alert %s: %s %s", each.kind, each.name, dict(each.notice.facts))
        return self._request(messages, settings) if messages else None

    def _request(self, messages: tuple[Message, ...], settings: Mapping[str, Any]) -> str:
        told = [
            {"name": each.name, "kind": each.kind.value, "notice": each.notice.model_dump(), "stood": each.stood}
            for each in messages
        ]
        return json.dumps({"settings": {name: settings[name] for name in NAMES}, "host": self._host, "messages": told})


def failures(answer: str) -> tuple[Notice, ...]:
    """What the program printed, as notices of the channels that failed."""
    return tuple(Notice(key="alert-not-sent", facts={"detail": str(why)}) for why in json.loads(answer)["failed"])
