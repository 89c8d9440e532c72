"""Values that only the node they are for can judge: limits against the space that is there. Pure."""

from __future__ import annotations

from fractions import Fraction

from appliance.errors import BadInput
from appliance.settings.units import about_size

#: smtpd answers 452 to MAIL FROM while less than this times message_size_limit is free (postconf(5), queue_minfree).
POSTFIX_FREE_FACTOR = Fraction(3, 2)


def refuse_above_free_space(limit: int, formatted: str, folder: str, free: int) -> None:
    """Raise BadInput when a message size `limit` would make Postfix refuse all mail with `free` bytes in `folder`."""
    if limit * POSTFIX_FREE_FACTOR > free:
        raise BadInput(
            "smtp.message_size_limit",
            "setting-above-free-space",
            value=formatted,
            folder=folder,
            free=about_size(free),
        )
