"""The node agent: how often it probes, how patiently it restarts."""

from __future__ import annotations

from appliance.settings.kinds import Duration, Integer
from appliance.settings.parameter import PER_NODE, Apply, Check, Parameter

PARAMETERS = (
    Parameter("agent.probe_interval", Duration(1, 3600), 10, scopes=PER_NODE, apply=Apply.NOW),
    Parameter("agent.restart_backoff_max", Duration(2, 3600), 300, scopes=PER_NODE, apply=Apply.NOW),
    Parameter("agent.disk_warning_percent", Integer(10, 98), 85, unit="unit-percent", scopes=PER_NODE, apply=Apply.NOW),
    Parameter(
        "agent.disk_critical_percent", Integer(11, 99), 97, unit="unit-percent", scopes=PER_NODE, apply=Apply.NOW
    ),
    Parameter("agent.metrics_port", Integer(0, 65535), 0, scopes=PER_NODE, apply=Apply.NOW),
)

CHECKS: tuple[Check, ...] = (
    Check(
        "settings-disk-levels-reversed",
        ("agent.disk_warning_percent", "agent.disk_critical_percent"),
        lambda warning, critical: warning < critical,
    ),
)
