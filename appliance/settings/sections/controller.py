"""The controller: how many groups it moves at a time, how patiently it watches a move, what it does with fences."""

from __future__ import annotations

from appliance.settings.kinds import Boolean, Duration, Integer
from appliance.settings.parameter import Apply, Check, Parameter, Scope

PARAMETERS = (
    Parameter("controller.moves_at_once", Integer(1, 1000), 4, scopes=(Scope.SYSTEM,), apply=Apply.NOW),
    Parameter("controller.move_patience", Duration(5, 3600), 60, scopes=(Scope.SYSTEM,), apply=Apply.NOW),
    Parameter("controller.fence_check_every", Duration(10, 86400), 300, scopes=(Scope.SYSTEM,), apply=Apply.NOW),
    Parameter("controller.power_on_fenced", Boolean(), True, scopes=(Scope.SYSTEM,), apply=Apply.NOW),
    Parameter("controller.metrics_port", Integer(0, 65535), 0, scopes=(Scope.SYSTEM,), apply=Apply.NOW),
)

CHECKS: tuple[Check, ...] = ()
