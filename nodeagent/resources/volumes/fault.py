"""The one error of every volume driver."""

from __future__ import annotations

from appliance.errors import PosthouseError


class VolumeFault(PosthouseError):
    """A volume cannot be used, or not be given up."""
