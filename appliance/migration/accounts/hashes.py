"""Foreign password hashes: which are kept, under which of Dovecot's labels.

Kept are the schemes that resist guessing or that OWASP tolerates for legacy use
(BLF-CRYPT, SHA512-CRYPT, SSHA512, SCRAM-SHA-256, ARGON2ID); they are replaced by the
installation's own scheme when their owner next changes the password. Weaker ones
(MD5, SHA-1, DES, unsalted) are not: the account gets a new password.
Labels: https://doc.dovecot.org/2.3/configuration_manual/authentication/password_schemes/
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

_LABELLED = re.compile(r"\{(?P<scheme>[A-Za-z0-9._-]{1,32})\}(?P<hash>.*)", re.DOTALL)
_CRYPT = {
    "SHA512-CRYPT": re.compile(r"\$6\$(rounds=\d{4,9}\$)?[./0-9A-Za-z]{0,16}\$[./0-9A-Za-z]{86}", re.ASCII),
    "BLF-CRYPT": re.compile(r"\$2[aby]\$\d\d\$[./0-9A-Za-z]{53}", re.ASCII),
    "ARGON2ID": re.compile(
        r"\$argon2id\$v=19\$m=\d{1,10},t=\d{1,10},p=\d{1,3}\$[+/0-9A-Za-z]{11,86}\$[+/0-9A-Za-z]{16,86}", re.ASCII
    ),
}
_SCRAM = re.compile(r"\d{4,9},[+/0-9A-Za-z=]{4,128},[+/0-9A-Za-z]{43}=,[+/0-9A-Za-z]{43}=", re.ASCII)
#: A digest of 64 bytes and at least a salt of 4.
_SSHA512_BYTES = 68
#: What can only be meant as a hash, also where a clear password is expected.
_HASH = re.compile(r"!*(\{[A-Za-z0-9._-]+\}.|\$[0-9a-z-]{1,12}\$.{20})", re.DOTALL)
#: What stands where a system keeps no password.
_NONE = frozenset({"", "x", "*", "!", "!!", "*NP*", "*LK*", "NP", "LK"})
_PLAIN = frozenset({"PLAIN", "CLEARTEXT", "CLEAR"})


@dataclass(frozen=True)
class Password:
    """A password to set: `clear` text, or `labelled` hash (`{SCHEME}hash`). Exactly one is given. Never shown."""

    clear: str | None = field(default=None, repr=False)
    labelled: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Understood:
    """What a foreign hash turned out to be.

    `password` None with `weak` naming a scheme: not kept. `locked`: the system
    had locked the account by spoiling its hash (`!` before it, passwd(1) -l).
    """

    password: Password | None = None
    weak: str = ""
    locked: bool = False


def understand(value: str) -> Understood:
    """Classify what stands in a password-hash column, in userPassword or in a shadow file."""
    text = value.strip()
    locked = text.startswith("!") and text.strip("!") not in _NONE
    text = text.lstrip("!") if locked else text
    if text in _NONE:
        return Understood()
    match = _LABELLED.fullmatch(text)
    scheme, body = (match["scheme"].upper(), match["hash"]) if match else ("", text)
    if scheme in _PLAIN:
        return Understood(Password(clear=body), locked=locked) if body else Understood(locked=locked)
    label = _label(scheme, body)
    if label:
        return Understood(Password(labelled=f"{{{label}}}{body}"), locked=locked)
    return Understood(weak=_scheme_name(scheme, body), locked=locked)


def password_or_hash(value: str) -> Understood:
    """Classify a value that is a clear password unless it has the form of a hash (userPassword, RFC 4519 2.41)."""
    if not value or _HASH.match(value):
        return understand(value)
    return Understood(Password(clear=value))


def _label(scheme: str, body: str) -> str | None:
    """Dovecot's label of a hash that is kept, or None."""
    if scheme in ("", "CRYPT", *_CRYPT):
        return next(
            (name for name, form in _CRYPT.items() if scheme in ("", "CRYPT", name) and form.fullmatch(body)), None
        )
    if scheme == "SCRAM-SHA-256" and _SCRAM.fullmatch(body):
        return scheme
    if scheme in ("SSHA512", "SSHA512.B64") and _is_salted_sha512(body):
        return "SSHA512"
    return None


def _is_salted_sha512(body: str) -> bool:
    try:
        return len(base64.b64decode(body, validate=True)) >= _SSHA512_BYTES
    except (binascii.Error, ValueError):
        return False


def _scheme_name(scheme: str, body: str) -> str:
    """How a hash that is not kept is named in the report; never the hash itself."""
    if scheme and scheme != "CRYPT":
        return scheme
    modular = re.match(r"\$([0-9a-z-]{1,12})\$", body)
    return f"${modular[1]}$" if modular else "CRYPT" if scheme else "?"
