"""The node agent: how often it probes, how patiently it restarts."""

from __future__ import annotations

from appliance.settings.kinds import Duration
from appliance.settings.parameter import PER_NODE, Apply, Check, Parameter

PARAMETERS = (
    Parameter("agent.probe_interval", Duration(1, 3600), 10, scopes=PER_NODE, apply=Apply.NOW),
    Parameter("agent.restart_backoff_max", Duration(2, 3600), 300, scopes=PER_NODE, apply=Apply.NOW),
)

CHECKS: tuple[Check, ...] = ()
