"""TLS of the mail protocols. Presets follow Mozilla's Server Side TLS, version 5.7."""

from __future__ import annotations

from appliance.settings.kinds import Choice
from appliance.settings.parameter import ENGINE, Check, Parameter

PARAMETERS = (
    Parameter("tls.minimum_protocol", Choice(("TLSv1.2", "TLSv1.3")), "TLSv1.2", scopes=ENGINE),
    # intermediate: forward secrecy and AEAD only; compatible: also ciphers of old clients.
    Parameter("tls.ciphers", Choice(("intermediate", "compatible")), "intermediate", scopes=ENGINE),
)

CHECKS: tuple[Check, ...] = ()
