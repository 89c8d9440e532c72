"""Full-text search (fts-xapian)."""

from __future__ import annotations

from appliance.settings.kinds import Boolean
from appliance.settings.parameter import PER_DOMAIN, Apply, Check, Parameter

PARAMETERS = (Parameter("fts.enabled", Boolean(), False, scopes=PER_DOMAIN, apply=Apply.NOW),)

CHECKS: tuple[Check, ...] = ()
