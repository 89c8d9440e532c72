"""Asking resolvers, with a deadline, and telling "there is none" from "nobody answered"."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from appliance.cluster.names import Seconds
from appliance.errors import BadInput, Unavailable

Address = IPv4Address | IPv6Address

DNS_PORT = 53
#: What one question may take, all resolvers and repetitions included.
QUESTION = Seconds(4.0)
TOTAL = Seconds(15.0)


class Outcome(Enum):
    """How a question ended. FAILED: a resolver answered that it cannot tell; SILENT: nobody answered."""

    FOUND = "found"
    NO_DATA = "no-data"
    NO_NAME = "no-name"
    FAILED = "failed"
    SILENT = "silent"


@dataclass(frozen=True)
class Answer:
    """Values in text form, names without the final dot in lower case. `alias`: a CNAME led to them."""

    outcome: Outcome
    values: tuple[str, ...] = ()
    alias: bool = False

    @property
    def known(self) -> bool:
        """Whether the question was answered, if only by "there is none"."""
        return self.outcome not in {Outcome.FAILED, Outcome.SILENT}


class Resolver(Protocol):
    """Who answers: real resolvers, or a table in a test."""

    async def ask(self, name: str, kind: str) -> Answer:
        """Look up `kind` (MX, A, TXT, …) of `name`. Never raises; a failure is an Answer."""
        ...


class SystemResolver:
    """The machine's resolvers, or one that was named. Every question is asked once.

    All questions together end within `total` seconds of the first.
    """

    def __init__(self, server: str | None = None, question: Seconds = QUESTION, total: Seconds = TOTAL) -> None:
        self._resolver = _configured(server)
        self._question = question
        self._ends = time.monotonic() + total
        self._asked: dict[tuple[str, str], asyncio.Task[Answer]] = {}

    @property
    def servers(self) -> str:
        """The resolvers' addresses, for messages."""
        port = "" if self._resolver.port == DNS_PORT else f" port {self._resolver.port}"
        return ", ".join(f"{server}{port}" for server in self._resolver.nameservers)

    async def ask(self, name: str, kind: str) -> Answer:
        key = (name.lower().rstrip("."), kind)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._look_up(*key))
        return await self._asked[key]

    async def _look_up(self, name: str, kind: str) -> Answer:
        lifetime = min(self._question, self._ends - time.monotonic())
        if lifetime <= 0:
            return Answer(Outcome.SILENT)
        try:
            answer = await self._resolver.resolve(
                dns.name.from_text(name), kind, lifetime=lifetime, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN:
            return Answer(Outcome.NO_NAME)
        except dns.resolver.NoNameservers as error:
            answered = any(attempt[4] is not None for attempt in error.kwargs["errors"])
            return Answer(Outcome.FAILED if answered else Outcome.SILENT)
        except (dns.exception.Timeout, OSError):
            return Answer(Outcome.SILENT)
        except (dns.exception.DNSException, ValueError):
            return Answer(Outcome.FAILED)
        alias = answer.canonical_name != answer.qname
        values = tuple(_text(record) for record in answer.rrset or ())
        return Answer(Outcome.FOUND if values else Outcome.NO_DATA, values, alias)


def _configured(server: str | None) -> dns.asyncresolver.Resolver:
    """A resolver for `IP`, `IP:PORT` or `[IPv6]:PORT`, or the system's; raises BadInput or Unavailable."""
    if server is None:
        try:
            found = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration as error:
            raise Unavailable("dns-no-resolver-configured") from error
        if not found.nameservers:
            raise Unavailable("dns-no-resolver-configured")
        return found
    address, port = _server(server)
    made = dns.asyncresolver.Resolver(configure=False)
    made.nameservers = [str(address)]
    made.port = port
    return made


def _server(text: str) -> tuple[Address, int]:
    host, port = text, str(DNS_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        number = int(port)
        if not 0 < number < 1 << 16:
            raise ValueError(port)
        return ip_address(host), number
    except ValueError as error:
        raise BadInput("resolver", "dns-bad-resolver", value=text) from error


def _text(record: object) -> str:
    """A record in the form the rest of this room uses."""
    kind = getattr(record, "rdtype", None)
    if kind == dns.rdatatype.TXT:
        strings: Sequence[bytes] = record.strings  # type: ignore[attr-defined]
        return b"".join(strings).decode("utf-8", "replace")
    if kind == dns.rdatatype.MX:
        return f"{record.preference} {_name(record.exchange)}"  # type: ignore[attr-defined]
    if kind == dns.rdatatype.SRV:
        target = _name(record.target)  # type: ignore[attr-defined]
        return f"{record.priority} {record.weight} {record.port} {target}"  # type: ignore[attr-defined]
    if kind == dns.rdatatype.PTR:
        return _name(record.target)  # type: ignore[attr-defined]
    return str(record)


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else "."
