"""TLS as the mail engines present it: where certificate and key are, and the cipher lists behind `tls.ciphers`.

Lists follow Mozilla's Server Side TLS 5.7 (https://ssl-config.mozilla.org); they
concern TLS 1.2 only, TLS 1.3 brings its own. DHE is left out: it needs parameters
and no client of today prefers it to ECDHE.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from appliance import paths

CERTIFICATE: Final = paths.PKI / "mail.crt"
KEY: Final = paths.PKI / "mail.key"
#: What groups show each other: the one that is asked (`inside`), and the one that hands mail on (`relay`).
AUTHORITY: Final = paths.PKI / "ca.crt"
INSIDE_CERTIFICATE: Final = paths.PKI / "inside.crt"
INSIDE_KEY: Final = paths.PKI / "inside.key"
RELAY_CERTIFICATE: Final = paths.PKI / "relay.crt"
RELAY_KEY: Final = paths.PKI / "relay.key"
BETWEEN: Final = (AUTHORITY, INSIDE_CERTIFICATE, INSIDE_KEY, RELAY_CERTIFICATE, RELAY_KEY)

_INTERMEDIATE: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
_COMPATIBLE: Final = (
    *_INTERMEDIATE,
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
)
_CIPHERS: Final[Mapping[str, tuple[str, ...]]] = {"intermediate": _INTERMEDIATE, "compatible": _COMPATIBLE}


def revoked_files() -> tuple[Path, ...]:
    """The table of revoked certificates; there is none in a cluster of a release before."""
    return (paths.REVOKED_TABLE,) if paths.REVOKED_TABLE.exists() else ()


def cipher_list(settings: Mapping[str, Any]) -> str:
    """The chosen ciphers in OpenSSL's notation (ciphers(1))."""
    return ":".join(_CIPHERS[settings["tls.ciphers"]])


def pair_problem(certificate: Path = CERTIFICATE, key: Path = KEY) -> str | None:
    """What keeps certificate and key from being used together, or None. The engines' own checkers do not look."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:
        return f"{certificate}, {key}: {error}"
    return None


def problems(*, between_groups: bool) -> list[str]:
    """The same of every pair that an engine needs, with those between groups or without."""
    pairs = [(CERTIFICATE, KEY)]
    if between_groups:
        pairs += [(INSIDE_CERTIFICATE, INSIDE_KEY), (RELAY_CERTIFICATE, RELAY_KEY)]
    return [problem for pair in pairs if (problem := pair_problem(*pair)) is not None]
