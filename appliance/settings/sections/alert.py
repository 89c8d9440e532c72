"""Alerts: how the operator is told that mail itself is down."""

from __future__ import annotations

from appliance.settings.kinds import Choice, Destination, Duration, ListOf, Text
from appliance.settings.parameter import PER_NODE, Apply, Parameter

_ADDRESS = Text(r"[^\s<>,;:@\"\\]{1,64}@[A-Za-z0-9.-]{1,255}", "name@example.org")

PARAMETERS = (
    Parameter(
        "alert.webhook_url", Text(r"(?:https?://[^\s]+)?", "https://…", 2000), "", scopes=PER_NODE, apply=Apply.NOW
    ),
    Parameter("alert.mail_relay", Destination(), "", scopes=PER_NODE, apply=Apply.NOW),
    Parameter("alert.mail_to", ListOf(_ADDRESS), (), scopes=PER_NODE, apply=Apply.NOW),
    Parameter("alert.snmp_receiver", Destination(), "", scopes=PER_NODE, apply=Apply.NOW),
    Parameter("alert.snmp_community", Text(r"[!-~]{1,64}", "public", 64), "public", scopes=PER_NODE, apply=Apply.NOW),
    Parameter("alert.syslog_server", Destination(), "", scopes=PER_NODE, apply=Apply.NOW),
    Parameter("alert.language", Choice(("en", "zh-CN", "zh-TW", "ja")), "en", scopes=PER_NODE, apply=Apply.NOW),
    Parameter("alert.raise_after", Duration(0, 3600), 30, scopes=PER_NODE, apply=Apply.NOW),
    Parameter("alert.clear_after", Duration(0, 3600), 60, scopes=PER_NODE, apply=Apply.NOW),
    Parameter("alert.repeat", Duration(60, 604_800), 14_400, scopes=PER_NODE, apply=Apply.NOW),
)

CHECKS = ()
