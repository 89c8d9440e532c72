"""Kinds of parameter values: how a value is read from text, checked, and written.

`parse` reads what a person typed; `check` takes a value out of JSON (the store,
the directory), which must already be in its stored form; `format` writes what
`parse` reads. Both ways in raise Refusal, which names the bound and the problem;
`Parameter` turns it into BadInput that names the field.

Stored forms: integers for integer, size (bytes) and duration (seconds); true or
false; strings; lists of these.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import idna

from appliance.settings.units import format_duration, format_size, parse_duration, parse_size


class Refusal(Exception):
    """A value does not fit: the message key of why, and its facts."""

    def __init__(self, key: str, **facts: Any) -> None:
        super().__init__(key, facts)
        self.key = key
        self.facts = facts


class Kind(ABC):
    """A kind of value with its bounds. One that `is_secret` is never shown, nor given on a command line."""

    name: str
    is_secret = False

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Return the value that `text` says; raise Refusal."""

    @abstractmethod
    def check(self, value: Any) -> Any:
        """Return `value`, in its stored form, as the program uses it (lists as tuples); raise Refusal."""

    def format(self, value: Any) -> str:
        """Write a valid value so that `parse` reads it back."""
        return str(value)

    @property
    def bounds(self) -> str:
        """The bounds in language-free form (`1K..2G`, `a | b`); empty when there are none."""
        return ""


@dataclass(frozen=True)
class _Number(Kind):
    minimum: int
    maximum: int

    def _number(self, text: str) -> int:
        raise NotImplementedError

    def parse(self, text: str) -> int:
        try:
            value = self._number(text)
        except ValueError:
            raise Refusal(f"setting-not-{self.name}", value=text) from None
        return self.check(value)

    def check(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refusal(f"setting-not-{self.name}", value=value)
        if value < self.minimum:
            raise Refusal("setting-too-small", value=self.format(value), minimum=self.format(self.minimum))
        if value > self.maximum:
            raise Refusal("setting-too-large", value=self.format(value), maximum=self.format(self.maximum))
        return value

    @property
    def bounds(self) -> str:
        return f"{self.format(self.minimum)}..{self.format(self.maximum)}"


@dataclass(frozen=True)
class Integer(_Number):
    """A whole number, bounds included."""

    name = "integer"

    def _number(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text.strip(), re.ASCII):
            raise ValueError(text)
        return int(text)


@dataclass(frozen=True)
class Size(_Number):
    """A number of bytes, written `25M` or `4G`."""

    name = "size"

    def _number(self, text: str) -> int:
        return parse_size(text)

    def format(self, value: Any) -> str:
        return format_size(value) if value >= 0 else str(value)


@dataclass(frozen=True)
class Duration(_Number):
    """A number of seconds, written `5m` or `30d`."""

    name = "duration"

    def _number(self, text: str) -> int:
        return parse_duration(text)

    def format(self, value: Any) -> str:
        return format_duration(value) if value >= 0 else str(value)


@dataclass(frozen=True)
class Boolean(Kind):
    """yes or no."""

    name = "boolean"

    def parse(self, text: str) -> bool:
        plain = text.strip().lower()
        if plain in {"yes", "true", "on", "1"}:
            return True
        if plain in {"no", "false", "off", "0"}:
            return False
        raise Refusal("setting-not-boolean", value=text)

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise Refusal("setting-not-boolean", value=value)
        return value

    def format(self, value: Any) -> str:
        return "yes" if value else "no"

    @property
    def bounds(self) -> str:
        return "yes | no"


@dataclass(frozen=True)
class _String(Kind):
    def parse(self, text: str) -> str:
        return self.check(text.strip())

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Refusal("setting-not-text", value=value)
        return self._checked(value)

    def _checked(self, text: str) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class Choice(_String):
    """One of some words; upper and lower case do not matter when typed."""

    choices: tuple[str, ...]
    name = "choice"

    def parse(self, text: str) -> str:
        plain = text.strip()
        return self.check(next((choice for choice in self.choices if choice.lower() == plain.lower()), plain))

    def _checked(self, text: str) -> str:
        if text not in self.choices:
            raise Refusal("setting-not-choice", value=text, choices=self.bounds)
        return text

    @property
    def bounds(self) -> str:
        return " | ".join(self.choices)


@dataclass(frozen=True)
class Text(_String):
    """A line of text that matches `pattern` as a whole; `form` shows the form to a person."""

    pattern: str
    form: str
    max_length: int = 255
    name = "text"

    def _checked(self, text: str) -> str:
        if len(text) > self.max_length:
            raise Refusal("setting-too-long", maximum=self.max_length, length=len(text))
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise Refusal("setting-not-of-form", value=text, form=self.form)
        return text

    @property
    def bounds(self) -> str:
        return self.form


_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
_HOST_NAME_LENGTH = 253
#: IP version -> bits of the largest network that is taken: all of 10.0.0.0/8, of IPv6 what a registry hands out.
_SHORTEST_PREFIX = {4: 8, 6: 16}


def is_host_name(text: str) -> bool:
    """RFC 1123 in lower case, at least two labels; the last is no number, so that no address passes."""
    labels = text.split(".")
    return (
        len(labels) > 1
        and len(text) <= _HOST_NAME_LENGTH
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )


@dataclass(frozen=True)
class Hostname(_String):
    """A fully qualified host name, stored in lower case with A-labels (RFC 5890); empty where `optional`."""

    optional: bool = False
    name = "hostname"

    def parse(self, text: str) -> str:
        plain = text.strip().removesuffix(".")
        try:
            return self.check(idna.encode(plain, uts46=True).decode("ascii"))
        except idna.IDNAError:
            return self.check(plain.lower())

    def _checked(self, text: str) -> str:
        if not is_host_name(text) and not (self.optional and not text):
            raise Refusal("setting-not-hostname", value=text)
        return text


def names_a_host(destination: str) -> bool:
    """Whether a valid `Destination` is a host or a domain by name, and no address."""
    return is_host_name(re.sub(r":[0-9]+$", "", destination).strip("[]"))


@dataclass(frozen=True)
class Destination(_String):
    """Where mail is handed on: `host`, `[host]` (no MX look-up) or `[address]`, each with `:port`; may be empty."""

    name = "destination"

    def _checked(self, text: str) -> str:
        match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?", text, re.ASCII)
        if not text:
            return text
        if match is None or not 0 < int(match[3] or 25) < 2**16:
            raise Refusal("setting-not-destination", value=text)
        literal, host = match[1] or "", match[2] or ""
        if not (is_host_name(literal or host) or _is_address(literal.removeprefix("IPv6:"))):
            raise Refusal("setting-not-destination", value=text)
        return text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Secret(_String):
    """A password for somebody else's server, of visible ASCII; may be empty. It is stored sealed (pki/sealing.py).

    `parse` seals, and so raises SealingFailed on a node without the key.
    """

    max_length: int = 128
    name = "secret"
    is_secret = True

    def parse(self, text: str) -> str:
        if not re.fullmatch(r"[!-~]*", text, re.ASCII) or len(text) > self.max_length:
            raise Refusal("setting-not-secret", maximum=self.max_length)
        if not text:
            return ""
        from appliance.pki import sealing  # noqa: PLC0415 - its library is large, and few set a secret

        return sealing.seal(text)

    def format(self, value: Any) -> str:
        return "********" if value else ""

    def _checked(self, text: str) -> str:
        if text and not re.fullmatch(r"[A-Za-z0-9_=-]{60,}", text, re.ASCII):
            raise Refusal("setting-not-sealed")
        return text


@dataclass(frozen=True)
class Network(_String):
    """An IP network as `192.0.2.0/24` or a single address; host bits must be zero.

    Networks are named here to be trusted: one that holds a large part of the world is a mistake.
    """

    name = "network"

    def _checked(self, text: str) -> str:
        try:
            network = ip_network(text)
        except ValueError:
            raise Refusal("setting-not-network", value=text) from None
        shortest = _SHORTEST_PREFIX[network.version]
        if network.prefixlen < shortest:
            raise Refusal("setting-network-too-large", value=text, shortest=f"/{shortest}")
        return str(network)


@dataclass(frozen=True)
class Address(_String):
    """The IP address of one host, `192.0.2.1` or `2001:db8::1`: none of loopback, multicast, link-local or all."""

    name = "address"

    def _checked(self, text: str) -> str:
        try:
            address = ip_address(text)
        except ValueError:
            raise Refusal("setting-not-address", value=text) from None
        if address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local:
            raise Refusal("setting-not-address", value=text)
        return str(address)


@dataclass(frozen=True)
class ListOf(Kind):
    """Some values of one kind without repetition, separated by commas or spaces; `ascending` keeps them sorted."""

    item: Kind
    minimum: int = 0
    maximum: int = 100
    ascending: bool = False
    name = "list"

    def parse(self, text: str) -> tuple[Any, ...]:
        return self.check([self.item.parse(part) for part in re.split(r"[\s,]+", text) if part])

    def check(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise Refusal("setting-not-list", value=value)
        items = tuple(self.item.check(part) for part in value)
        if not self.minimum <= len(items) <= self.maximum:
            raise Refusal("setting-list-length", count=len(items), minimum=self.minimum, maximum=self.maximum)
        if len(set(items)) != len(items):
            raise Refusal("setting-list-repeats", value=self.format(items))
        if self.ascending and list(items) != sorted(items):
            raise Refusal("setting-list-not-ascending", value=self.format(items))
        return items

    def format(self, value: Any) -> str:
        return ",".join(self.item.format(part) for part in value)

    @property
    def bounds(self) -> str:
        return self.item.bounds
