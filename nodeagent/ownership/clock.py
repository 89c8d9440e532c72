"""The keeper's clock."""

from __future__ import annotations

from appliance.clock import boottime

__all__ = ["boottime"]
