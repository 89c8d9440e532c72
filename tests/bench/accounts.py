"""The accounts of a benchmark, the same people on both sides, as LDIF (RFC 2849) of each side's schema.

Passwords are one word under one cheap scheme, so that what is compared is the way to
the mailbox and not the price of a hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from appliance.directory import schema

DOMAIN: Final = "bench.test"
PASSWORD: Final = "bench-password"
#: SHA512-CRYPT of PASSWORD with 1000 rounds, the fewest that crypt(5) takes: 0.2 ms.
CHEAP_CRYPT: Final = (
    "$6$rounds=1000$posthousebench$"
    "i8/nRsJwqcd8L/81r92nSEpUqxuycFseHOtCPksoXcQW3pENbz7UYiGU7ZaziGak4KiwIvBh1lZG5CwbBHv1/."
)
CHEAP: Final = "{SHA512-CRYPT}" + CHEAP_CRYPT
#: The default scheme with its default parameters: 22 ms.
ARGON2ID: Final = (
    "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$RyIIEGpRn4pW/4FGH9tuMQ$tjlXI/j9pwC5W/wtDLKWZgOQuRsctuocFqXuviYj+wc"
)
BARE_SUFFIX: Final = "dc=bench,dc=test"

_FAMILY_NAMES: Final = tuple("王李张刘陈杨赵黄周吴")
_FAMILY_NAMES_LATIN: Final = ("Smith", "Jones", "Taylor", "Brown", "Evans", "Walker", "White", "Hall", "Green", "King")
_GIVEN_NAMES: Final = tuple("伟芳娜敏静丽强磊军洋")
_GIVEN_NAMES_LATIN: Final = ("Oliver", "Amelia", "George", "Isla", "Harry", "Emily", "Jack", "Sophie", "Oscar", "Lily")


@dataclass(frozen=True)
class Person:
    """An account by its number."""

    number: int

    @property
    def local_part(self) -> str:
        return f"{self.number}user"

    @property
    def address(self) -> str:
        return f"{self.local_part}@{DOMAIN}"

    @property
    def display_name(self) -> str:
        """A name in Chinese or Latin letters; a few hundred people share each."""
        digest = _digest(self.number)
        family, given = (digest[index] % 10 for index in (0, 1))
        if digest[2] % 2:
            return f"{_GIVEN_NAMES_LATIN[given]} {_FAMILY_NAMES_LATIN[family]} {digest[3]}"
        return f"{_FAMILY_NAMES[family]}{_GIVEN_NAMES[given]}{digest[3]}"

    @property
    def identity(self) -> str:
        """32 hexadecimal digits."""
        return _digest(self.number).hex()

    @property
    def path(self) -> str:
        """Home below the volume, in Posthouse's layout."""
        return f"mailboxes/{self.identity[:2]}/{self.identity}"


def _digest(number: int) -> bytes:
    return hashlib.md5(f"posthouse-bench-{number}".encode(), usedforsecurity=False).digest()


def people(count: int, first: int = 1) -> Iterator[Person]:
    """`count` accounts from number `first` on."""
    return map(Person, range(first, first + count))


def domain_entry() -> str:
    """The domain, in Posthouse's schema."""
    return (
        f"dn: {schema.ASSOCIATED_DOMAIN}={DOMAIN},{schema.DOMAINS}\nobjectClass: {schema.DOMAIN}\n"
        f"{schema.ASSOCIATED_DOMAIN}: {DOMAIN}\n{schema.STATUS}: active\n"
    )


def posthouse_entries(accounts: Iterable[Person], password: str = CHEAP, group: str = "mail") -> Iterator[str]:
    """The accounts, in Posthouse's schema."""
    for person in accounts:
        yield (
            f"dn: {schema.MAIL}={person.address},{schema.ASSOCIATED_DOMAIN}={DOMAIN},{schema.DOMAINS}\n"
            f"objectClass: {schema.MAILBOX}\n{schema.MAIL}: {person.address}\n{schema.ID}: {person.identity}\n"
            f"{schema.PATH}: {person.path}\n{schema.GROUP}: {group}\n{schema.STATUS}: active\n"
            f"{schema.QUOTA}: 10737418240\n{_text(schema.DISPLAY_NAME, person.display_name)}"
            f"{schema.PASSWORD}: {password}\n"
        )


def bare_entries(accounts: Iterable[Person]) -> Iterator[str]:
    """The accounts as inetOrgPerson (RFC 2798), the suffix and its container first."""
    yield f"dn: {BARE_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: bench\no: bench\n"
    yield f"dn: ou=people,{BARE_SUFFIX}\nobjectClass: organizationalUnit\nou: people\n"
    for person in accounts:
        name = person.display_name
        yield (
            f"dn: uid={person.local_part},ou=people,{BARE_SUFFIX}\nobjectClass: inetOrgPerson\n"
            f"uid: {person.local_part}\nmail: {person.address}\n{_text('cn', name)}{_text('sn', name)}"
            f"userPassword: {{CRYPT}}{CHEAP_CRYPT}\n"
        )


def _text(attribute: str, value: str) -> str:
    """An attribute line; base64 where RFC 2849 wants it."""
    if value.isascii():
        return f"{attribute}: {value}\n"
    return f"{attribute}:: {base64.b64encode(value.encode()).decode()}\n"
