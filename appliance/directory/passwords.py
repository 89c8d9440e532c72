"""Passwords: what is accepted, how it is hashed, which foreign hashes are taken over.

Stored as Dovecot reads them, `{SCHEME}hash`
(https://doc.dovecot.org/2.3/configuration_manual/authentication/password_schemes/).
Strength is judged by zxcvbn, as NIST SP 800-63B 5.1.1.2 asks: length and guessability,
no rules of composition. No password and no hash is ever part of a message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import argon2

from appliance.directory import crypt3
from appliance.directory.addresses import Address
from appliance.errors import BadInput

FIELD: Final = "password"
#: Dovecot's limits are far above; this keeps hashing and judging cheap.
MAX_BYTES: Final = 256
#: What bcrypt looks at; more would be ignored silently.
BCRYPT_BYTES: Final = 72
#: zxcvbn's scale goes to 4; below 2 a throttled attack over the network succeeds.
LEAST_SCORE: Final = 2
_BCRYPT_COST: Final = 12
_SHA512_ROUNDS: Final = 210_000
_SCRAM_ITERATIONS: Final = 100_000
_SALT_BYTES: Final = 16
_KIB: Final = 1024
#: Letters and digits that nobody confuses.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"

_LABELLED: Final = re.compile(r"\{([A-Za-z0-9-]{3,16}?)(?:\.B64)?\}(.*)", re.IGNORECASE)
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "ARGON2ID": re.compile(
        r"\$argon2id\$v=19\$m=(?P<memory>[1-9]\d{0,7}),t=(?P<time>[1-9]\d{0,3}),p=(?P<lanes>[1-9]\d?)"
        r"\$[+/0-9A-Za-z]{11,64}\$[+/0-9A-Za-z]{22,86}",
        re.ASCII,
    ),
    "BLF-CRYPT": re.compile(r"\$2[aby]\$(?P<cost>0[4-9]|1\d)\$[./0-9A-Za-z]{53}", re.ASCII),
    "SHA512-CRYPT": re.compile(
        r"\$6\$(?:rounds=(?P<rounds>[1-9]\d{3,6})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}", re.ASCII
    ),
    "SSHA512": re.compile(r"[+/0-9A-Za-z]{90,128}={0,2}", re.ASCII),
    "SCRAM-SHA-256": re.compile(
        r"(?P<iterations>[1-9]\d{3,6}),[+/0-9A-Za-z]{8,86}={0,2},[+/0-9A-Za-z]{43}=,[+/0-9A-Za-z]{43}=", re.ASCII
    ),
}
SCHEMES: Final = tuple(_FORMS)
#: What a login may cost at most; more would let one account's hash starve the others.
_MOST: Final[Mapping[str, int]] = {
    "memory": _KIB * _KIB,
    "time": 100,
    "lanes": 16,
    "cost": 15,
    "rounds": 5_000_000,
    "iterations": 5_000_000,
}
_SHA512_BYTES: Final = 64
_LEAST_SSHA512: Final = _SHA512_BYTES + 4


@dataclass(frozen=True)
class PasswordPolicy:
    """What is asked of a password and how it is hashed. `memory` in KiB."""

    minimum_length: int = 8
    scheme: str = "ARGON2ID"
    memory: int = 19_456
    time: int = 2
    lanes: int = 1

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> PasswordPolicy:
        """The policy that effective settings say."""
        return cls(
            minimum_length=settings["password.minimum_length"],
            scheme=settings["password.scheme"],
            memory=settings["password.hash_memory"] // _KIB,
            time=settings["password.hash_time"],
            lanes=settings["password.hash_parallelism"],
        )

    def with_minimum_length(self, length: int) -> PasswordPolicy:
        """The same for a domain that asks for another length."""
        return replace(self, minimum_length=length)


def accepted(password: str, policy: PasswordPolicy, address: Address | None = None) -> str:
    """Return the password in the form to hash (NFC); raise BadInput when the policy refuses it."""
    if len(password) > MAX_BYTES:
        raise BadInput(FIELD, "password-too-long", maximum=MAX_BYTES)
    plain = unicodedata.normalize("NFC", password)
    if any(unicodedata.category(each) in {"Cc", "Cs"} for each in plain):
        raise BadInput(FIELD, "password-control-character")
    most = BCRYPT_BYTES if policy.scheme == "BLF-CRYPT" else MAX_BYTES
    if len(plain.encode()) > most:
        raise BadInput(FIELD, "password-too-long", maximum=most)
    if len(plain) < policy.minimum_length:
        raise BadInput(FIELD, "password-too-short", minimum=policy.minimum_length, length=len(plain))
    if address is not None and plain.casefold() in {str(address), address.display.casefold(), address.local}:
        raise BadInput(FIELD, "password-is-address")
    score = _score(plain, address)
    if score < LEAST_SCORE:
        raise BadInput(FIELD, "password-too-weak", score=score, minimum=LEAST_SCORE)
    return plain


def hashed(password: str, policy: PasswordPolicy) -> str:
    """Return `{SCHEME}hash` of an accepted password. Takes tens of milliseconds by design; releases the GIL."""
    match policy.scheme:
        case "SCRAM-SHA-256":
            body = _scram(password, secrets.token_bytes(_SALT_BYTES), _SCRAM_ITERATIONS)
        case "BLF-CRYPT":
            body = crypt3.crypt(password, crypt3.salt("$2y$", _BCRYPT_COST))
        case "SHA512-CRYPT":
            body = crypt3.crypt(password, crypt3.salt("$6$", _SHA512_ROUNDS))
        case _:
            body = argon2.PasswordHasher(policy.time, policy.memory, policy.lanes).hash(password)
    return f"{{{policy.scheme}}}{body}"


def imported(text: str, field: str = "password_hash") -> str:
    """Return a foreign hash as it is stored, `{SCHEME}hash`; raise BadInput unless it is one of SCHEMES, well formed,
    and no dearer than a login may be. A hash that names its scheme itself (`$2y$…`) needs no label."""
    plain = text.strip()
    label = _LABELLED.fullmatch(plain)
    scheme, body = (label[1].upper(), label[2]) if label else ("", plain)
    if scheme in ("", "CRYPT"):
        scheme = next((name for name, form in _FORMS.items() if body[:1] == "$" and form.fullmatch(body)), "")
    form = _FORMS.get(scheme)
    if form is None:
        raise BadInput(field, "password-hash-unknown", schemes=", ".join(SCHEMES))
    match = form.fullmatch(body)
    if match is None or not _decodes(scheme, body):
        raise BadInput(field, "password-hash-malformed", scheme=scheme)
    for bound, value in match.groupdict().items():
        if value is not None and int(value) > _MOST[bound]:
            raise BadInput(field, "password-hash-too-dear", scheme=scheme, bound=bound, maximum=_MOST[bound])
    return f"{{{scheme}}}{body}"


def verifies(stored: str, password: str) -> bool:
    """Whether `password` is the one that `{SCHEME}hash` was made of."""
    label = _LABELLED.fullmatch(stored)
    form = _FORMS.get(label[1]) if label else None
    if label is None or form is None or not form.fullmatch(label[2]):
        return False
    plain, body = unicodedata.normalize("NFC", password), label[2]
    match label[1]:
        case "ARGON2ID":
            try:
                return argon2.PasswordHasher().verify(body, plain)
            except argon2.exceptions.Argon2Error:
                return False
        case "SCRAM-SHA-256":
            iterations, salt, *_ = body.split(",")
            again = _scram(plain, _unbase64(salt), int(iterations))
        case "SSHA512":
            salt_bytes = _unbase64(body)[_SHA512_BYTES:]
            again = base64.b64encode(hashlib.sha512(plain.encode() + salt_bytes).digest() + salt_bytes).decode("ascii")
        case _:
            again = crypt3.crypt(plain, body)
    return hmac.compare_digest(again, body)


def generated() -> str:
    """A strong password (79 bits) that can be read out on the telephone: `k7mf-29qx-hw4c-tdp6`."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


def _score(password: str, address: Address | None) -> int:
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its word lists take 50 ms to load

    known = ["posthouse"]
    if address is not None:
        known += [
            address.local,
            address.domain.ascii,
            *re.split(r"[._'-]", f"{address.local}.{address.domain.display}"),
        ]
    return int(zxcvbn(password[:BCRYPT_BYTES], user_inputs=known)["score"])


def _scram(password: str, salt: bytes, iterations: int) -> str:
    """Dovecot's form of RFC 5802's stored and server key: iterations,salt,stored,server."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return ",".join((str(iterations), *(base64.b64encode(part).decode("ascii") for part in (salt, stored, server))))


def _decodes(scheme: str, body: str) -> bool:
    """Whether what is base64 in a hash really is, and long enough."""
    if scheme == "SSHA512":
        return len(_unbase64(body)) >= _LEAST_SSHA512
    return scheme != "SCRAM-SHA-256" or all(_unbase64(part) for part in body.split(",")[1:])


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
