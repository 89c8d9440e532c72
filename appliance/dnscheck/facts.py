"""What there is to know about a domain before it can be judged, asked in two rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import psutil

from appliance.dnscheck.lookup import Address, Answer, Outcome, Resolver
from appliance.dnscheck.spf import Verdict, check_host

#: Services that mail programs look for (RFC 6186, RFC 8314), and their ports.
SERVICES: Mapping[str, int] = {
    "_submissions._tcp": 465,
    "_submission._tcp": 587,
    "_imaps._tcp": 993,
    "_pop3s._tcp": 995,
}


@dataclass(frozen=True)
class Expectation:
    """What this server needs. `addresses` are its own; `stated`: the operator named them, so they are what
    the world sees, also when they look private."""

    domain: str
    hostname: str
    addresses: tuple[Address, ...]
    stated: bool = False


@dataclass(frozen=True)
class DnsFacts:
    """What resolvers said. `outside` are the addresses that the world sees this server by."""

    mx: Answer
    a: Answer
    aaaa: Answer
    txt: Answer
    dmarc: Answer
    srv: Mapping[str, Answer]
    outside: tuple[Address, ...] = ()
    ptr: Mapping[Address, Answer] = field(default_factory=dict)
    spf: Mapping[Address, Verdict] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """True when no resolver answered anything."""
        first = (self.mx, self.a, self.aaaa, self.txt, self.dmarc, *self.srv.values())
        return all(answer.outcome is Outcome.SILENT for answer in first)


async def gather(resolver: Resolver, want: Expectation) -> DnsFacts:
    """Ask everything. Takes as long as the resolver lets its questions take."""
    mx, a, aaaa, txt, dmarc, *srv = await asyncio.gather(
        resolver.ask(want.domain, "MX"),
        resolver.ask(want.hostname, "A"),
        resolver.ask(want.hostname, "AAAA"),
        resolver.ask(want.domain, "TXT"),
        _dmarc(resolver, want.domain),
        *(resolver.ask(f"{service}.{want.domain}", "SRV") for service in SERVICES),
    )
    first = DnsFacts(mx, a, aaaa, txt, dmarc, dict(zip(SERVICES, srv, strict=True)))
    if first.silent:
        return first
    outside = outside_addresses(want, a, aaaa)
    names = await asyncio.gather(*(resolver.ask(address.reverse_pointer, "PTR") for address in outside))
    verdicts = await asyncio.gather(*(check_host(resolver, want.domain, address) for address in outside))
    return replace(
        first,
        outside=outside,
        ptr=dict(zip(outside, names, strict=True)),
        spf=dict(zip(outside, verdicts, strict=True)),
    )


def outside_addresses(want: Expectation, a: Answer, aaaa: Answer) -> tuple[Address, ...]:
    """The addresses that other servers see: the stated ones, else the public ones of this server; behind a
    router those that its name has; and within a private network its own."""
    if want.stated:
        return want.addresses
    public = tuple(address for address in want.addresses if address.is_global)
    if public:
        return public
    named = tuple(ip_address(value) for value in (*a.values, *aaaa.values))
    four = tuple(address for address in want.addresses if address.version == 4)  # noqa: PLR2004 - IPv4
    return tuple(address for address in named if address.is_global) or named or four or want.addresses


def own_addresses() -> tuple[Address, ...]:
    """This machine's addresses, without loopback and link-local ones, IPv4 first."""
    found = set()
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            try:
                address = ip_address(entry.address.partition("%")[0])
            except ValueError:
                continue  # a hardware address
            if not (address.is_loopback or address.is_link_local or address.is_multicast):
                found.add(address)
    return tuple(sorted(found, key=lambda address: (address.version, int(address))))


async def _dmarc(resolver: Resolver, domain: str) -> Answer:
    """The policy of the domain, else that of the nearest domain above it that has one.

    RFC 7489, 6.6.3 asks the organisational domain; walking up needs no list of public suffixes to find it.
    """
    labels = domain.split(".")
    answer = await resolver.ask(f"_dmarc.{domain}", "TXT")
    while not any(is_dmarc(value) for value in answer.values) and answer.known and len(labels) > 2:  # noqa: PLR2004
        labels = labels[1:]
        above = await resolver.ask(f"_dmarc.{'.'.join(labels)}", "TXT")
        answer = above if any(is_dmarc(value) for value in above.values) else answer
    return answer


def is_dmarc(text: str) -> bool:
    """True when a TXT record is a DMARC policy."""
    return text.replace(" ", "").startswith("v=DMARC1")
