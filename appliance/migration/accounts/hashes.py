"""Foreign passwords and password hashes: what stands in a file, and what is kept of it.

Which hashes are kept is the directory's word (`directory.passwords.imported`): those
that resist guessing. Weaker ones (MD5, SHA-1, DES, unsalted) are not; the account gets
a new password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from appliance.directory import passwords
from appliance.errors import BadInput

_LABELLED = re.compile(r"\{(?P<scheme>[A-Za-z0-9._-]{1,32})\}(?P<hash>.*)", re.DOTALL)
_MODULAR = re.compile(r"\$([0-9a-z-]{1,12})\$")
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
    if match and match["scheme"].upper() in _PLAIN:
        return Understood(Password(clear=match["hash"]) if match["hash"] else None, locked=locked)
    try:
        return Understood(Password(labelled=passwords.imported(text)), locked=locked)
    except BadInput:
        return Understood(weak=_scheme(text), locked=locked)


def password_or_hash(value: str) -> Understood:
    """Classify a value that is a clear password unless it has the form of a hash (userPassword, RFC 4519 2.41)."""
    if not value or _HASH.match(value):
        return understand(value)
    return Understood(Password(clear=value))


def _scheme(text: str) -> str:
    """How a hash that is not kept is named in the report; never the hash itself."""
    match = _LABELLED.fullmatch(text)
    if match and match["scheme"].upper() != "CRYPT":
        return match["scheme"].upper()
    modular = _MODULAR.match(match["hash"] if match else text)
    return f"${modular[1]}$" if modular else "CRYPT" if match else "?"
