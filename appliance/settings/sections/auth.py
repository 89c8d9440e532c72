"""Signing in: mechanisms and Dovecot's authentication cache."""

from __future__ import annotations

from appliance.settings.kinds import Boolean, Choice, Duration, ListOf, Size
from appliance.settings.parameter import ENGINE, Check, Parameter
from appliance.settings.units import parse_size

PARAMETERS = (
    Parameter("auth.allow_plaintext_without_tls", Boolean(), False, scopes=ENGINE),
    # SCRAM only on request: a client that prefers it fails where the stored hash is no SCRAM hash.
    Parameter(
        "auth.mechanisms",
        ListOf(Choice(("plain", "login", "scram-sha-1", "scram-sha-256")), minimum=1),
        ("plain", "login"),
        scopes=ENGINE,
    ),
    # Dovecot has no cache by default. Changes flush a person's entry at once, so a long life is safe.
    Parameter("auth.cache_size", Size(0, parse_size("4G")), parse_size("64M"), scopes=ENGINE),
    Parameter("auth.cache_ttl", Duration(0, 86_400), 3600, scopes=ENGINE),
    Parameter("auth.cache_negative_ttl", Duration(0, 3600), 60, scopes=ENGINE),
)

CHECKS: tuple[Check, ...] = ()
