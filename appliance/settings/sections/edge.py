"""Edges (docs/decisions/0049-edges-pass-sessions-on.md)."""

from __future__ import annotations

from appliance.settings.kinds import Address, ListOf
from appliance.settings.parameter import PER_NODE, Check, Parameter

PARAMETERS = (Parameter("edge.addresses", ListOf(Address(), maximum=16), (), scopes=PER_NODE),)

CHECKS: tuple[Check, ...] = ()
