"""The list of revoked certificates as the store has it (docs/decisions/0085-revoked-certificates.md)."""

from __future__ import annotations

from appliance.cluster import keys
from appliance.cluster.decided import Revoked
from appliance.coordination.store import Store


def read(store: Store) -> Revoked | None:
    """The list; None in a cluster of a release that has none, and on a server that stands alone."""
    record = store.get(keys.REVOKED)
    return Revoked.model_validate_json(record.value) if record else None


def contains(store: Store, serial: str) -> bool:
    """Whether a certificate with this serial number (`decided.serial_text`) is on the list."""
    found = read(store)
    return found is not None and serial in found.serials
