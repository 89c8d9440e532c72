"""Addresses, domains and names as people write them, checked and brought into the one stored form. Pure.

Lengths are those of RFC 5321 (4.5.3.1), local parts are dot-atoms (RFC 5322), domains are
internationalised names (RFC 5890-5893, UTS 46 mapping) stored as A-labels in lower case.
Every refusal is BadInput that names the field, the bound and the problem.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import idna

from appliance.errors import BadInput

MAX_LOCAL: Final = 64
MAX_DOMAIN: Final = 255 - 2  # RFC 1035 counts two more octets on the wire
MAX_ADDRESS: Final = 254  # RFC 3696 erratum 1690: a path of 256 octets holds two angle brackets
MAX_NAME: Final = 128
MAX_DESCRIPTION: Final = 1024
#: What a label may hold is checked by idna; before that, nothing longer than this is even looked at.
_LOOKED_AT: Final = 1024
_EXCERPT: Final = 60

_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+", re.ASCII)
#: Mailboxes: what every client and every log reader takes. `+` is the recipient delimiter.
_MAILBOX_LOCAL: Final = re.compile(r"[a-z0-9._'-]+", re.ASCII)
_ALIAS_LOCAL: Final = re.compile(r"[a-z0-9._'+-]+", re.ASCII)

#: Accounts of the system and the mail system's own senders: no mailbox may take their mail.
RESERVED: Final = frozenset(
    {"root", "daemon", "bin", "sys", "sync", "lp", "uucp", "www-data", "nobody", "nogroup", "messagebus", "sshd"}
    | {"systemd-network", "systemd-resolve", "systemd-timesync", "systemd-coredump", "_apt", "_chrony", "polkitd"}
    | {
        "postfix",
        "postdrop",
        "dovecot",
        "dovenull",
        "vmail",
        "openldap",
        "etcd",
        "redis",
        "postgres",
        "rspamd",
        "clamav",
    }
    | {"posthouse", "posthouse-probe", "mailer-daemon", "double-bounce"}
)
#: Zero-width joiners shape words in Persian, Hindi and emoji; other format characters only deceive.
_JOINERS: Final = frozenset("\u200c\u200d")
_UNWANTED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, order=True)
class DomainName:
    """A domain: `ascii` is stored and compared (A-labels, lower case), `display` is for people (U-labels)."""

    ascii: str
    display: str

    def __str__(self) -> str:
        return self.ascii

    @property
    def international(self) -> bool:
        """Whether people write it otherwise than it is stored."""
        return self.ascii != self.display


@dataclass(frozen=True, order=True)
class Address:
    """An address in its stored form. An empty local part stands for every other address of the domain."""

    local: str
    domain: DomainName

    def __str__(self) -> str:
        return f"{self.local}@{self.domain.ascii}"

    @property
    def display(self) -> str:
        """As people write it."""
        return f"{self.local}@{self.domain.display}"

    @property
    def is_catch_all(self) -> bool:
        return not self.local


def domain_name(text: str, field: str = "domain") -> DomainName:
    """Return a domain of at least two labels, given as A-labels or U-labels in any case; raise BadInput."""
    plain = text.strip().removesuffix(".")
    if not plain:
        raise BadInput(field, "domain-empty")
    if len(plain) > _LOOKED_AT:
        raise BadInput(field, "domain-too-long", maximum=MAX_DOMAIN, length=len(plain))
    try:
        encoded = idna.encode(plain, uts46=True, std3_rules=True).decode("ascii").lower()
        display = idna.decode(encoded)
    except (idna.IDNAError, UnicodeError) as error:
        raise BadInput(field, "domain-malformed", value=excerpt(plain), problem=excerpt(str(error))) from None
    if len(encoded) > MAX_DOMAIN:
        raise BadInput(field, "domain-too-long", maximum=MAX_DOMAIN, length=len(encoded))
    labels = encoded.split(".")
    if len(labels) < 2 or "" in labels or labels[-1].isdigit():  # noqa: PLR2004 - a name and its zone
        raise BadInput(field, "domain-incomplete", value=excerpt(plain))
    return DomainName(encoded, display)


def mailbox_address(text: str, field: str = "address") -> Address:
    """Return the address of a mailbox of ours; raise BadInput."""
    address = _ours(text, field, _MAILBOX_LOCAL, "address-mailbox-character")
    if address.local in RESERVED:
        raise BadInput(field, "address-reserved", local=address.local)
    return address


def alias_address(text: str, field: str = "address") -> Address:
    """Return the address of an alias of ours, which may be `@domain` (everything else); raise BadInput."""
    if text.strip().startswith("@"):
        return Address("", domain_name(text.strip()[1:], field))
    return _ours(text, field, _ALIAS_LOCAL, "address-alias-character")


def target_address(text: str, field: str = "target") -> Address:
    """Return any address that mail can be sent to, its domain in stored form; raise BadInput."""
    local, domain = _split(text, field)
    if not _ATOM.fullmatch(local):
        raise BadInput(field, "address-character", character=_first_unfit(local, _ATOM), value=excerpt(text))
    return _checked(local, domain, field, text)


def any_address(text: str, field: str = "address") -> Address:
    """Return an address that may name something in the directory, to look it up; raise BadInput for what cannot."""
    if text.strip().startswith("@"):
        return alias_address(text, field)
    found = target_address(text, field)
    return Address(found.local.lower(), found.domain)


def display_name(text: str, field: str = "name") -> str:
    """Return a name for people: normalised (NFC), one line, nothing that hides or reorders; raise BadInput."""
    return _line(text, field, MAX_NAME)


def description(text: str, field: str = "description") -> str:
    """Return a remark of one line; raise BadInput."""
    return _line(text, field, MAX_DESCRIPTION)


def excerpt(text: str) -> str:
    """The beginning of what somebody typed, fit for a message."""
    shown = "".join("\ufffd" if deceives(each) else each for each in text[:_EXCERPT])
    return shown if len(text) <= _EXCERPT else shown + "…"


def deceives(character: str) -> bool:
    """Whether it controls, formats or separates text, is half of a surrogate pair, or no character at all."""
    number = ord(character)
    no_character = number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF  # noqa: PLR2004 - Unicode 23.7
    return no_character or (character not in _JOINERS and unicodedata.category(character) in _UNWANTED)


def displayed(address: str) -> str:
    """A stored address as people write it; what cannot be read is shown as it is stored."""
    try:
        return any_address(address).display
    except BadInput:
        return address


def unique(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """The addresses in their order, each once."""
    return tuple(dict.fromkeys(addresses))


def _ours(text: str, field: str, allowed: re.Pattern[str], key: str) -> Address:
    local, domain = _split(text, field)
    local = local.lower()
    if not allowed.fullmatch(local):
        raise BadInput(field, key, character=_first_unfit(local, allowed), value=excerpt(text))
    if local.startswith("-"):
        raise BadInput(field, "address-leading-hyphen", value=excerpt(text))
    return _checked(local, domain, field, text)


def _split(text: str, field: str) -> tuple[str, str]:
    local, at, domain = text.strip().rpartition("@")
    if not at or not local:
        raise BadInput(field, "address-incomplete", value=excerpt(text))
    if len(local) > MAX_LOCAL:
        raise BadInput(field, "address-local-too-long", maximum=MAX_LOCAL, length=len(local))
    return local, domain


def _checked(local: str, domain: str, field: str, text: str) -> Address:
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise BadInput(field, "address-dots", value=excerpt(text))
    address = Address(local, domain_name(domain, field))
    if len(str(address)) > MAX_ADDRESS:
        raise BadInput(field, "address-too-long", maximum=MAX_ADDRESS, length=len(str(address)))
    return address


def _first_unfit(local: str, allowed: re.Pattern[str]) -> str:
    return excerpt(next(each for each in local if not allowed.fullmatch(each)))


def _line(text: str, field: str, maximum: int) -> str:
    if len(text) > _LOOKED_AT * 4:
        raise BadInput(field, "name-too-long", maximum=maximum, length=len(text))
    plain = unicodedata.normalize("NFC", text).strip()
    unfit = next((each for each in plain if deceives(each)), None)
    if unfit is not None:
        raise BadInput(field, "name-character", character=f"U+{ord(unfit):04X}")
    if len(plain) > maximum:
        raise BadInput(field, "name-too-long", maximum=maximum, length=len(plain))
    return plain
