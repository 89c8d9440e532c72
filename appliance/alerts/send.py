"""`python -m appliance.alerts.send`: tell alerts by every channel that is set.

Reads JSON from standard input, `{"settings": {alert.*}, "host": NAME, "messages": [{name, kind, notice, stood}]}`, and
prints `{"channels": N, "failed": [text, …]}`. A program of its own: agent and controller neither hold what it needs
nor wait for a server that does not answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from appliance.alerts.channels import Alert, Channel, ChannelFailed, channels
from appliance.alerts.hysteresis import Kind
from appliance.cluster.report import Notice
from appliance.i18n import translate


def alert(message: Mapping[str, Any], host: str, language: str) -> Alert:
    """A message in words."""
    notice = Notice.model_validate(message["notice"])
    facts: dict[str, Any] = dict(notice.facts)
    told = translate(notice.key, lang=language, **facts)
    kind = Kind(message["kind"])
    text = translate(f"alert-{kind.value}", lang=language, text=told, minutes=int(float(message["stood"]) // 60))
    return Alert(message["name"], kind.value, text, host, notice.facts)


def deliver(alerts: Iterable[Alert], ways: Iterable[Channel]) -> list[tuple[str, str | None]]:
    """Send each alert by each channel, channels side by side; (channel, None or why it failed) for each."""

    def all_by(way: Channel) -> list[tuple[str, str | None]]:
        done: list[tuple[str, str | None]] = []
        for each in told:
            try:
                way.send(each)
            except ChannelFailed as error:
                done.append((way.name, str(error)))
            else:
                done.append((way.name, None))
        return done

    told, ways = list(alerts), list(ways)
    with ThreadPoolExecutor(max(len(ways), 1)) as pool:
        return [result for results in pool.map(all_by, ways) for result in results]


def main() -> None:
    """Read, send, say what failed."""
    asked = json.load(sys.stdin)
    settings = asked["settings"]
    ways = channels(settings)
    alerts = [alert(each, asked["host"], settings["alert.language"]) for each in asked["messages"]]
    results = deliver(alerts, ways)
    print(json.dumps({"channels": len(ways), "failed": [why for _, why in results if why]}))


if __name__ == "__main__":
    main()
