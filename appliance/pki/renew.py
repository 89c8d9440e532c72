"""Renew what is due, as a program: `python -m appliance.pki.renew` prints what it did and found as JSON.

The agent runs it now and then in a process of its own, so that it does not hold
the library that reads certificates.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from appliance import node_file
from appliance.installation import renewal
from appliance.pki import upkeep


def look() -> dict[str, object]:
    """Renew, then say which pairs are new and for how many days the mail certificate is still good."""
    node = node_file.read()
    renewed = upkeep.ensure(node) or renewal.renew(node)
    pair = upkeep.mail_slot().read()
    left = None if pair is None else (pair.leaf().not_valid_after_utc - datetime.now(UTC)).days
    return {"renewed": list(renewed), "mail_days_left": left}


if __name__ == "__main__":
    print(json.dumps(look()))
