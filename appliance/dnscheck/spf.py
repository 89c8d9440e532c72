"""Judging a sender policy as receivers do: check_host() of RFC 7208, for one address.

Left out because nobody should need it for a mail server: macros and the mechanism `ptr`
(the RFC itself advises against it). A policy that depends on them is UNCLEAR to us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network

from appliance.dnscheck.lookup import Address, Outcome, Resolver

VERSION = "v=spf1"
#: Terms that cost a question (RFC 7208, 4.6.4).
MAX_LOOKUPS = 10


class Verdict(Enum):
    """What a receiver concludes about a sender's address."""

    PASS = "pass"  # noqa: S105 - RFC 7208's word
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    PERMERROR = "permerror"
    TEMPERROR = "temperror"
    UNCLEAR = "unclear"


_QUALIFIERS = {"+": Verdict.PASS, "-": Verdict.FAIL, "~": Verdict.SOFTFAIL, "?": Verdict.NEUTRAL}
_MECHANISMS = frozenset({"all", "include", "a", "mx", "ip4", "ip6", "exists", "ptr"})


class _Stop(Exception):
    """The evaluation ends here with a verdict."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(verdict)


@dataclass(frozen=True)
class Term:
    """A mechanism with its qualifier, its domain or address, and its prefix lengths (None: not given)."""

    qualifier: Verdict
    name: str
    value: str = ""
    prefix4: int | None = None
    prefix6: int | None = None


@dataclass(frozen=True)
class Policy:
    """A parsed record."""

    terms: tuple[Term, ...]
    redirect: str | None = None


def is_policy(text: str) -> bool:
    """True when a TXT record is a sender policy."""
    return text.lower() == VERSION or text.lower().startswith(VERSION + " ")


def parse(text: str) -> Policy:
    """Read a record; raise ValueError when its syntax is broken (a receiver's permerror)."""
    terms: list[Term] = []
    redirect = None
    for word in text.split()[1:]:
        name, equals, value = word.partition("=")
        if equals and name.replace("-", "").replace("_", "").replace(".", "").isalnum() and ":" not in name:
            if name.lower() == "redirect":
                if redirect is not None:
                    raise ValueError("redirect is given twice")
                redirect = value
            continue
        terms.append(_term(word))
    return Policy(tuple(terms), redirect)


def open_to_everybody(text: str) -> bool:
    """True when the record lets every server of the world send (`+all` or `all`)."""
    try:
        return any(term.name == "all" and term.qualifier is Verdict.PASS for term in parse(text).terms)
    except ValueError:
        return False


def mend(records: Sequence[str], mechanism: str) -> str | None:
    """One record that says what `records` say together, lets `mechanism` (unless empty) send and nobody whom it
    does not name. None when a record is broken: what it meant is for its author to say.
    """
    try:
        for record in records:
            parse(record)
    except ValueError:
        return None
    words = list(dict.fromkeys(word for record in records for word in record.split()[1:]))
    everybody = [word for word in words if word.lower().lstrip("+-~?") == "all"]
    ends = [word for word in words if word.lower().startswith("redirect=")]
    named = [word for word in words if word not in everybody and word not in ends]
    if mechanism and mechanism not in named:
        named.append(mechanism)
    last = next((word for word in everybody if word[0] in "-~?"), "-all")
    return " ".join([VERSION, *named, *(ends[:1] if ends and not everybody else [last])])


async def check_host(resolver: Resolver, domain: str, address: Address) -> Verdict:
    """What a receiver concludes when `address` sends for `domain`."""
    try:
        return await _Evaluation(resolver, address).of(domain)
    except _Stop as stop:
        return stop.verdict


class _Evaluation:
    """One check_host() with its budget of questions."""

    def __init__(self, resolver: Resolver, address: Address) -> None:
        self._resolver = resolver
        self._address = address
        self._left = MAX_LOOKUPS

    async def of(self, domain: str) -> Verdict:
        answer = await self._resolver.ask(domain, "TXT")
        if not answer.known:
            raise _Stop(Verdict.TEMPERROR)
        records = [value for value in answer.values if is_policy(value)]
        if not records:
            return Verdict.NONE
        if len(records) > 1:
            raise _Stop(Verdict.PERMERROR)
        try:
            policy = parse(records[0])
        except ValueError as error:
            raise _Stop(Verdict.PERMERROR) from error
        for term in policy.terms:
            if await self._matches(term, domain):
                return term.qualifier
        if policy.redirect is None:
            return Verdict.NEUTRAL
        self._spend(policy.redirect)
        verdict = await self.of(policy.redirect)
        return Verdict.PERMERROR if verdict is Verdict.NONE else verdict

    async def _matches(self, term: Term, domain: str) -> bool:
        if term.name == "all":
            return True
        if term.name in {"ip4", "ip6"}:
            return self._address in _network(term)
        target = term.value or domain
        self._spend(target)
        if term.name == "include":
            return await self._included(target)
        if term.name == "ptr":
            raise _Stop(Verdict.UNCLEAR)
        if term.name == "exists":
            return (await self._resolver.ask(target, "A")).outcome is Outcome.FOUND
        hosts = [target]
        if term.name == "mx":
            exchanges = await self._values(target, "MX")
            hosts = [value.split()[1] for value in exchanges[:MAX_LOOKUPS]]
        for host in hosts:
            if await self._has_address(host, term):
                return True
        return False

    async def _included(self, target: str) -> bool:
        verdict = await self.of(target)
        if verdict in {Verdict.NONE, Verdict.PERMERROR}:
            raise _Stop(Verdict.PERMERROR)
        return verdict is Verdict.PASS

    async def _has_address(self, host: str, term: Term) -> bool:
        four = self._address.version == 4  # noqa: PLR2004 - IPv4
        length = term.prefix4 if four else term.prefix6
        width = self._address.max_prefixlen if length is None else length
        values = await self._values(host, "A" if four else "AAAA")
        return any(self._address in ip_network(f"{value}/{width}", strict=False) for value in values)

    async def _values(self, name: str, kind: str) -> tuple[str, ...]:
        answer = await self._resolver.ask(name, kind)
        if not answer.known:
            raise _Stop(Verdict.TEMPERROR)
        return answer.values

    def _spend(self, target: str) -> None:
        if "%" in target:
            raise _Stop(Verdict.UNCLEAR)
        self._left -= 1
        if self._left < 0:
            raise _Stop(Verdict.PERMERROR)


def _term(word: str) -> Term:
    qualifier = _QUALIFIERS.get(word[0], Verdict.PASS)
    text = word[1:] if word[0] in _QUALIFIERS else word
    head, colon, value = text.partition(":")
    name, slash, lengths = (head if colon else text).partition("/")
    name = name.lower()
    if name not in _MECHANISMS:
        raise ValueError(f"unknown mechanism {word!r}")
    if name in {"ip4", "ip6"}:
        term = Term(qualifier, name, value)
        _network(term)
        return term
    if colon and name in {"a", "mx"}:
        value, slash, lengths = value.partition("/")
    if name in {"include", "exists"} and not value:
        raise ValueError(f"{word!r} names no domain")
    if not slash:
        return Term(qualifier, name, value)
    if name not in {"a", "mx"}:
        raise ValueError(f"{word!r} has a prefix length")
    four, _, six = lengths.partition("//") if not lengths.startswith("/") else ("", "", lengths[1:])
    return Term(qualifier, name, value, _length(four, 32), _length(six, 128))


def _length(text: str, most: int) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise ValueError(f"bad prefix length {text!r}")
    return int(text)


def _network(term: Term) -> IPv4Network | IPv6Network:
    network = ip_network(term.value, strict=False)
    if network.version != int(term.name[-1]):
        raise ValueError(f"{term.value!r} is no {term.name}")
    return network
