"""Renew what is due and follow what is revoked, as a program: `python -m appliance.pki.renew` prints what it did and
found as JSON.

The agent runs it now and then in a process of its own, so that it does not hold
the library that reads certificates.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version

from appliance import node_file
from appliance.cluster.model import Role
from appliance.coordination import connect
from appliance.coordination.access import Keys
from appliance.coordination.store import StoreUnavailable
from appliance.installation import issued, renewal, store_users
from appliance.pki import upkeep


def look() -> dict[str, object]:
    """Renew, then say which pairs are new and for how many days the mail certificate is still good; `complete`: the
    list of revoked ones is as the store has it, and the nodes may in the store what they should."""
    node = node_file.read()
    renewed = upkeep.ensure(node) or renewal.renew(node)
    try:
        issued.follow(node)
        if node.address is not None and Role.CONTROL in node.roles:
            with connect(node) as store:
                store_users.renew(store, node, Keys.read(), version("posthouse"))
        complete = True
    except StoreUnavailable:
        complete = False
    pair = upkeep.mail_slot().read()
    left = None if pair is None else (pair.leaf().not_valid_after_utc - datetime.now(UTC)).days
    return {"renewed": list(renewed), "mail_days_left": left, "complete": complete}


if __name__ == "__main__":
    print(json.dumps(look()))
