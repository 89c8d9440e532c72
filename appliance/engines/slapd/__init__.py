"""OpenLDAP as an engine: how the node's directory replica is rendered, checked, seeded, started and probed."""

from appliance.engines.slapd.engine import Slapd

__all__ = ["Slapd"]
