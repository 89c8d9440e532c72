"""ManageSieve (RFC 5804) and what a person's Sieve script may do (Pigeonhole)."""

from __future__ import annotations

from appliance.settings.kinds import Boolean, Integer, Size
from appliance.settings.parameter import ENGINE, Apply, Check, Parameter
from appliance.settings.units import parse_size

PARAMETERS = (
    Parameter("managesieve.enabled", Boolean(), True, scopes=ENGINE, apply=Apply.RESTART),
    Parameter("managesieve.process_limit", Integer(1, 10_000), 100, unit="unit-processes", scopes=ENGINE),
    Parameter("managesieve.max_script_size", Size(1024, parse_size("16M")), parse_size("1M"), scopes=ENGINE),
    Parameter("managesieve.max_redirects", Integer(0, 100), 4, unit="unit-recipients", scopes=ENGINE),
)

CHECKS: tuple[Check, ...] = ()
