"""`posthouse dns check DOMAIN`: what the domain name system has to say for mail to work, and what it says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

import click
import idna

from appliance import node_file
from appliance.cli.output import Column, emit, json_option, table
from appliance.cli.status import in_words
from appliance.dnscheck.evaluate import Finding, Status, evaluate, good
from appliance.dnscheck.facts import Expectation, gather, own_addresses
from appliance.dnscheck.lookup import Address, SystemResolver
from appliance.errors import BadInput, Unavailable
from appliance.i18n import lazy, translate
from appliance.node_file import BadHostname


@dataclass(frozen=True)
class Row:
    """A finding for programs: the note both as a key and in words."""

    kind: str
    name: str
    status: Status
    required: bool
    found: tuple[str, ...]
    wanted: tuple[str, ...]
    note: str | None
    note_text: str | None


@dataclass(frozen=True)
class Report:
    """Everything that a check found."""

    domain: str
    domain_unicode: str
    hostname: str
    resolver: str
    ok: bool
    findings: tuple[Row, ...]


@click.group(help=lazy("dns-help"))
def dns() -> None:
    pass


@dns.command(help=lazy("dns-check-help"))
@click.argument("domain")
@click.option("--resolver", help=lazy("dns-resolver-help"))
@click.option("--address", "addresses", multiple=True, help=lazy("dns-address-help"))
@click.option("--hostname", help=lazy("dns-hostname-help"))
@json_option
def check(domain: str, resolver: str | None, addresses: tuple[str, ...], hostname: str | None, as_json: bool) -> None:
    stated = tuple(_address(text) for text in addresses)
    want = Expectation(
        domain=_domain(domain),
        hostname=node_file.hostname(hostname) if hostname else node_file.read().hostname,
        addresses=stated or own_addresses(),
        stated=bool(stated),
    )
    report = asyncio.run(look(want, resolver))
    emit(report, as_json, lambda: screen(report))
    if not report.ok:
        sys.exit(1)


async def look(want: Expectation, server: str | None) -> Report:
    """Ask and judge; raise Unavailable when no resolver answers."""
    resolver = SystemResolver(server)
    facts = await gather(resolver, want)
    if facts.silent:
        raise Unavailable("dns-no-answer", resolvers=resolver.servers)
    findings = evaluate(facts, want)
    return Report(
        domain=want.domain,
        domain_unicode=_unicode(want.domain),
        hostname=want.hostname,
        resolver=resolver.servers,
        ok=good(findings),
        findings=tuple(_row(finding) for finding in findings),
    )


def screen(report: Report) -> Iterable[str]:
    """The lines of the answer: the verdict, each record, then what to enter."""
    shown = report.domain if report.domain == report.domain_unicode else f"{report.domain_unicode} ({report.domain})"
    yield translate("dns-verdict-good" if report.ok else "dns-verdict-bad", domain=shown, hostname=report.hostname)
    yield translate("dns-asked", resolvers=report.resolver)
    yield ""
    yield from table(
        report.findings,
        [
            Column("dns-column-status", _status),
            Column("dns-column-kind", lambda row: row.kind),
            Column("dns-column-name", lambda row: row.name),
            Column("dns-column-found", lambda row: row.found),
        ],
    )
    for required in (True, False):
        rows = [row for row in report.findings if row.required is required]
        rows = [row for row in rows if row.status is not Status.OK or row.note_text]
        if rows:
            yield ""
            yield translate("dns-to-enter" if required else "dns-to-enter-advice")
            for row in rows:
                if row.status is not Status.OK:
                    yield from (f"  {line}" for line in row.wanted)
                if row.note_text:
                    yield f"  ! {row.kind} {row.name}: {row.note_text}"


def _status(row: Row) -> str:
    text = translate(f"dns-status-{row.status}")
    return text if row.required or row.status is Status.OK else translate("dns-advice", status=text)


def _row(finding: Finding) -> Row:
    note = finding.note
    return Row(
        finding.kind, finding.name, finding.status, finding.required, finding.found, finding.wanted,
        note.key if note else None, in_words(note) if note else None,
    )  # fmt: skip


def _domain(text: str) -> str:
    try:
        return node_file.hostname(text)
    except BadHostname as error:
        facts = {name: value for name, value in error.facts.items() if name != "field"}
        raise BadInput("domain", error.key, **facts) from error


def _unicode(domain: str) -> str:
    try:
        return idna.decode(domain)
    except idna.IDNAError:
        return domain


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise BadInput("address", "dns-bad-address", value=text) from error
