"""Facts to findings: what is right, what is missing, what is wrong, and the record to enter. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from appliance.cluster.report import Notice
from appliance.dnscheck.facts import SERVICES, DnsFacts, Expectation, is_dmarc
from appliance.dnscheck.lookup import Address, Answer
from appliance.dnscheck.spf import Verdict, is_policy, mend, open_to_everybody

#: A character string of a TXT record holds no more bytes (RFC 1035, 3.3).
TXT_STRING = 255

_DMARC_POLICY = re.compile(r"(?:^|;)\s*p\s*=\s*(none|quarantine|reject)\s*(?:;|$)", re.IGNORECASE)


class Status(StrEnum):
    """How a record stands."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One record. `wanted` are zone file lines that are right; `required`: mail suffers without it."""

    kind: str
    name: str
    status: Status
    required: bool
    found: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    note: Notice | None = None


def evaluate(facts: DnsFacts, want: Expectation) -> tuple[Finding, ...]:
    """Judge every record, the most important first."""
    return (
        _mx(facts, want),
        *_host(facts, want),
        *_reverse(facts, want),
        _spf(facts, want),
        _dmarc(facts, want),
        *_services(facts, want),
    )


def good(findings: Sequence[Finding]) -> bool:
    """True when everything that mail needs is right."""
    return all(finding.status is Status.OK for finding in findings if finding.required)


def _mx(facts: DnsFacts, want: Expectation) -> Finding:
    """RFC 5321, 5.1; RFC 7505 (a domain that takes no mail); RFC 2181, 10.3 (no alias behind MX)."""
    answer = facts.mx
    exchanges = sorted((int(value.split()[0]), value.split()[1]) for value in answer.values)
    targets = [target for _, target in exchanges]
    status, note = Status.OK, None
    if not answer.known:
        status = Status.UNKNOWN
    elif not exchanges:
        status = Status.MISSING
    elif targets == ["."]:
        status, note = Status.WRONG, Notice(key="dns-null-mx")
    elif want.hostname not in targets:
        status = Status.WRONG
    elif facts.a.alias or facts.aaaa.alias:
        status, note = Status.WRONG, Notice(key="dns-mx-is-alias", facts={"hostname": want.hostname})
    elif targets[0] != want.hostname:
        note = Notice(key="dns-mx-not-first", facts={"first": targets[0]})
    return _finding("MX", want.domain, status, answer, [f"{want.domain}. IN MX 10 {want.hostname}."], note=note)


def _host(facts: DnsFacts, want: Expectation) -> Iterator[Finding]:
    """The addresses of the host name. IPv6 is advice, and nothing where there is no public one."""
    for kind, version, answer in (("A", 4, facts.a), ("AAAA", 6, facts.aaaa)):
        own = [address for address in want.addresses if address.version == version]
        outside = [address for address in own if address.is_global or want.stated]
        needed = outside if kind == "AAAA" else own
        if not needed and not answer.values:
            continue
        status, note = _address_status(answer, own, want.stated)
        wanted = [f"{want.hostname}. IN {kind} {address}" for address in outside or own]
        required = kind == "A" or bool(answer.values)
        yield _finding(kind, want.hostname, status, answer, wanted, note=note, required=required)


def _address_status(answer: Answer, own: Sequence[Address], stated: bool) -> tuple[Status, Notice | None]:
    found = [ip_address(value) for value in answer.values]
    private = not stated and not any(address.is_global for address in own)
    if not answer.known:
        return Status.UNKNOWN, None
    if not found:
        return Status.MISSING, Notice(key="dns-only-private-addresses") if private else None
    strangers = [address for address in found if address not in own]
    if not strangers:
        return Status.OK, None
    status, key = Status.WRONG, "dns-other-addresses"
    if not own:
        key = "dns-address-to-remove"
    elif len(strangers) < len(found):
        status, key = Status.OK, "dns-other-addresses-too"
    elif private and all(address.is_global for address in found):
        status, key = Status.OK, "dns-behind-a-router"
    return status, Notice(key=key, facts={"addresses": ", ".join(map(str, strangers))})


def _reverse(facts: DnsFacts, want: Expectation) -> Iterator[Finding]:
    """RFC 1912, 2.1. Large receivers refuse mail from public addresses without a matching name."""
    for address, answer in facts.ptr.items():
        required = want.stated or address.is_global
        status = Status.OK
        if not answer.known:
            status = Status.UNKNOWN
        elif not answer.values:
            status = Status.MISSING
        elif want.hostname not in answer.values:
            status = Status.WRONG
        note = Notice(key="dns-ptr-by-provider") if required and status in {Status.MISSING, Status.WRONG} else None
        wanted = [f"{address.reverse_pointer}. IN PTR {want.hostname}."]
        yield _finding("PTR", str(address), status, answer, wanted, note=note, required=required)


def _spf(facts: DnsFacts, want: Expectation) -> Finding:
    """RFC 7208."""
    records = tuple(value for value in facts.txt.values if is_policy(value))
    status, note = _spf_status(facts, records)
    wanted: tuple[str, ...] = records[:1]
    if status in {Status.MISSING, Status.WRONG}:
        elsewhere = _mx(facts, want).status is Status.WRONG
        mended = mend(records, "" if _passes(facts) else f"a:{want.hostname}" if elsewhere else "mx")
        wanted = (mended,) if mended else ()
    required = want.stated or any(address.is_global for address in facts.outside)
    return Finding("SPF", want.domain, status, required, records, tuple(_txt(want.domain, w) for w in wanted), note)


def _spf_status(facts: DnsFacts, records: Sequence[str]) -> tuple[Status, Notice | None]:
    if not facts.txt.known:
        return Status.UNKNOWN, None
    if not records:
        return Status.MISSING, None
    if len(records) > 1:
        return Status.WRONG, Notice(key="dns-spf-several")
    if open_to_everybody(records[0]):
        return Status.WRONG, Notice(key="dns-spf-open")
    return next(
        (found for address, verdict in facts.spf.items() if (found := _told(address, verdict))), (Status.OK, None)
    )


def _told(address: Address, verdict: Verdict) -> tuple[Status, Notice] | None:
    """What a verdict about one address means for the record; None when it is allowed to send."""
    if verdict is Verdict.PASS:
        return None
    if verdict is Verdict.PERMERROR:
        return Status.WRONG, Notice(key="dns-spf-broken")
    if verdict in {Verdict.TEMPERROR, Verdict.UNCLEAR}:
        return Status.UNKNOWN, Notice(key="dns-spf-unclear")
    return Status.WRONG, Notice(key="dns-spf-not-allowed", facts={"address": str(address), "verdict": verdict.value})


def _passes(facts: DnsFacts) -> bool:
    return bool(facts.spf) and all(verdict is Verdict.PASS for verdict in facts.spf.values())


def _dmarc(facts: DnsFacts, want: Expectation) -> Finding:
    """RFC 7489. Advice: large receivers want it of everybody who sends much."""
    records = tuple(value for value in facts.dmarc.values if is_dmarc(value))
    name = f"_dmarc.{want.domain}"
    status, note = Status.OK, None
    if not facts.dmarc.known:
        status = Status.UNKNOWN
    elif not records:
        status = Status.MISSING
    elif len(records) > 1:
        status, note = Status.WRONG, Notice(key="dns-dmarc-several")
    elif not _DMARC_POLICY.search(records[0]):
        status, note = Status.WRONG, Notice(key="dns-dmarc-no-policy")
    wanted = records if status is Status.OK else (f"v=DMARC1; p=none; rua=mailto:postmaster@{want.domain}",)
    return Finding("DMARC", name, status, False, records, tuple(_txt(name, text) for text in wanted), note)


def _services(facts: DnsFacts, want: Expectation) -> Iterator[Finding]:
    """RFC 6186, RFC 8314: how mail programs find the server by themselves. Advice."""
    for service, answer in facts.srv.items():
        name, port = f"{service}.{want.domain}", SERVICES[service]
        status = Status.OK
        if not answer.known:
            status = Status.UNKNOWN
        elif not answer.values:
            status = Status.MISSING
        elif not any(value.split()[2:] == [str(port), want.hostname] for value in answer.values):
            status = Status.WRONG
        wanted = [f"{name}. IN SRV 0 1 {port} {want.hostname}."]
        yield _finding("SRV", name, status, answer, wanted, required=False)


def _finding(
    kind: str,
    name: str,
    status: Status,
    answer: Answer,
    wanted: Sequence[str],
    *,
    note: Notice | None = None,
    required: bool = True,
) -> Finding:
    return Finding(kind, name, status, required, answer.values, tuple(wanted), note)


def _txt(name: str, text: str) -> str:
    """A zone file line; long texts in several strings, quotes and backslashes escaped (RFC 1035, 5.1)."""
    data = text.replace("\\", "\\\\").replace('"', '\\"')
    strings = [data[start : start + TXT_STRING] for start in range(0, len(data), TXT_STRING)]
    return f"{name}. IN TXT " + " ".join(f'"{string}"' for string in strings)
