"""What both backends need to reach a store: the node's keys, and when silence is suspicious."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance import paths
from appliance.cluster.names import Seconds
from appliance.coordination.store import StoreUnavailable

#: A call that waited less than this says nothing about the member's health.
SUSPICIOUS_AFTER = Seconds(1.0)


@dataclass(frozen=True)
class Keys:
    """The client's key pair and the authority it trusts, PEM."""

    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def read(cls, folder: Path | None = None) -> Keys:
        """Read the node's own keys; raise StoreUnavailable when this user may not, or there are none."""
        where = folder or paths.PKI
        try:
            ca, certificate, key = ((where / name).read_bytes() for name in ("ca.crt", "node.crt", "node.key"))
        except OSError as error:
            raise StoreUnavailable(
                "store-keys-unreadable", path=str(where), detail=error.strerror or str(error)
            ) from error
        return cls(ca, certificate, key)
