"""Passwords: how long, and how they are hashed.

The least parameters of Argon2id are OWASP's (Password Storage Cheat Sheet): any of
the pairs of memory and passes below, each with one lane.
"""

from __future__ import annotations

from appliance.settings.kinds import Choice, Integer, Size
from appliance.settings.parameter import PER_DOMAIN, Apply, Check, Parameter, Scope
from appliance.settings.units import parse_size

#: (memory, passes) that OWASP holds to be of equal strength.
OWASP_ARGON2ID = tuple(
    (parse_size(memory), passes) for memory, passes in (("46M", 1), ("19M", 2), ("12M", 3), ("9M", 4), ("7M", 5))
)


def _strong_enough(memory: int, passes: int) -> bool:
    return any(memory >= least and passes >= fewest for least, fewest in OWASP_ARGON2ID)


_SYSTEM = (Scope.SYSTEM,)

PARAMETERS = (
    Parameter(
        "password.minimum_length", Integer(8, 128), 8, unit="unit-characters", scopes=PER_DOMAIN, apply=Apply.NEW
    ),
    Parameter(
        "password.scheme",
        Choice(("ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "SCRAM-SHA-256")),
        "ARGON2ID",
        scopes=_SYSTEM,
        apply=Apply.NEW,
    ),
    Parameter("password.hash_memory", Size(parse_size("7M"), parse_size("1G")), parse_size("19M"), _SYSTEM, Apply.NEW),
    Parameter("password.hash_time", Integer(1, 100), 2, unit="unit-passes", scopes=_SYSTEM, apply=Apply.NEW),
    Parameter("password.hash_parallelism", Integer(1, 16), 1, unit="unit-lanes", scopes=_SYSTEM, apply=Apply.NEW),
)

CHECKS = (Check("settings-argon2-too-weak", ("password.hash_memory", "password.hash_time"), _strong_enough),)
