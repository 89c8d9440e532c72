"""Facts to findings, as a table of worlds. 8.8.x.x and 2a00:: stand for public addresses; nothing is asked there."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from appliance.dnscheck.evaluate import Finding, Status, evaluate, good
from appliance.dnscheck.facts import DnsFacts, Expectation, gather, own_addresses
from appliance.dnscheck.lookup import Answer, Outcome
from appliance.i18n import LANGUAGES, translate
from tests.unit.dnscheck.table_resolver import SERVFAIL, SILENCE, TableResolver, Zone

D, H, IP = "example.com", "mail.example.com", "8.8.4.1"
PTR = ip_address(IP).reverse_pointer

GOOD: Zone = {
    (D, "MX"): [f"10 {H}"],
    (H, "A"): [IP],
    (PTR, "PTR"): [H],
    (D, "TXT"): ["v=spf1 mx -all", "google-site-verification=x"],
    (f"_dmarc.{D}", "TXT"): ["v=DMARC1; p=quarantine"],
    (f"_submissions._tcp.{D}", "SRV"): [f"0 1 465 {H}"],
    (f"_submission._tcp.{D}", "SRV"): [f"0 1 587 {H}"],
    (f"_imaps._tcp.{D}", "SRV"): [f"0 1 993 {H}"],
    (f"_pop3s._tcp.{D}", "SRV"): [f"0 1 995 {H}"],
}


def look(zone: Zone, *addresses: str, stated: bool = False) -> tuple[DnsFacts, tuple[Finding, ...]]:
    want = Expectation(D, H, tuple(map(ip_address, addresses or (IP,))), stated)
    facts = asyncio.run(gather(TableResolver(zone), want))
    findings = evaluate(facts, want)
    for language in LANGUAGES:
        for finding in findings:
            assert finding.note is None or translate(finding.note.key, language, **dict(finding.note.facts))
    return facts, findings


def row(findings: tuple[Finding, ...], kind: str) -> Finding:
    return next(finding for finding in findings if finding.kind == kind)


def summary(finding: Finding) -> tuple[str, str | None]:
    return finding.status.value, finding.note.key if finding.note else None


def without(*names: tuple[str, str]) -> Zone:
    return {key: value for key, value in GOOD.items() if key not in names}


def test_a_well_kept_domain_has_nothing_to_enter() -> None:
    _, findings = look(GOOD)
    assert {finding.status for finding in findings} == {Status.OK}
    assert good(findings)


def test_an_empty_world_is_told_everything_to_enter() -> None:
    _, findings = look({})
    assert {finding.status for finding in findings} == {Status.MISSING}
    assert [line for finding in findings for line in finding.wanted] == [
        f"{D}. IN MX 10 {H}.",
        f"{H}. IN A {IP}",
        f"{PTR}. IN PTR {H}.",
        f'{D}. IN TXT "v=spf1 mx -all"',
        f'_dmarc.{D}. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@{D}"',
        f"_submissions._tcp.{D}. IN SRV 0 1 465 {H}.",
        f"_submission._tcp.{D}. IN SRV 0 1 587 {H}.",
        f"_imaps._tcp.{D}. IN SRV 0 1 993 {H}.",
        f"_pop3s._tcp.{D}. IN SRV 0 1 995 {H}.",
    ]
    assert not good(findings)


def test_what_was_advised_makes_the_domain_right() -> None:
    _, findings = look({})
    zone: dict[tuple[str, str], list[str]] = {}
    for line in (line for finding in findings for line in finding.wanted):
        name, _, kind, value = line.split(" ", 3)
        zone.setdefault((name.rstrip("."), kind), []).append(value.strip('"').rstrip("."))
    assert {finding.status for finding in look(zone)[1]} == {Status.OK}


TWO_DMARC = ["v=DMARC1;p=none"] * 2
CASES = [
    pytest.param("MX", {(D, "MX"): ["10 mx.elsewhere.net"]}, ("wrong", None), id="mx-elsewhere"),
    pytest.param("MX", {(D, "MX"): ["0 ."]}, ("wrong", "dns-null-mx"), id="null-mx"),
    pytest.param("MX", {(D, "MX"): [f"20 {H}", "5 mx.x.net"]}, ("ok", "dns-mx-not-first"), id="mx-is-the-second"),
    pytest.param("MX", {(D, "MX"): [f"5 {H}", "20 mx.x.net"]}, ("ok", None), id="mx-is-the-first"),
    pytest.param("MX", {(D, "MX"): SERVFAIL}, ("unknown", None), id="mx-servfail"),
    pytest.param("MX", {(D, "MX"): SILENCE}, ("unknown", None), id="mx-silence"),
    pytest.param(
        "MX", {(H, "A"): Answer(Outcome.FOUND, (IP,), alias=True)}, ("wrong", "dns-mx-is-alias"), id="mx-is-an-alias"
    ),
    pytest.param("A", {(H, "A"): ["8.8.4.9"]}, ("wrong", "dns-other-addresses"), id="a-of-another"),
    pytest.param("A", {(H, "A"): [IP, "8.8.4.9"]}, ("ok", "dns-other-addresses-too"), id="a-shared"),
    pytest.param("A", {(H, "A"): SERVFAIL}, ("unknown", None), id="a-servfail"),
    pytest.param("AAAA", {(H, "AAAA"): ["2a00::1"]}, ("wrong", "dns-address-to-remove"), id="aaaa-without-ipv6"),
    pytest.param("PTR", {(PTR, "PTR"): ["host1.provider.net"]}, ("wrong", "dns-ptr-by-provider"), id="ptr-provider"),
    pytest.param("PTR", {(PTR, "PTR"): ["x.net", H]}, ("ok", None), id="ptr-among-others"),
    pytest.param("PTR", {(PTR, "PTR"): SILENCE}, ("unknown", None), id="ptr-silence"),
    pytest.param("SPF", {(D, "TXT"): ["other"]}, ("missing", None), id="no-spf"),
    pytest.param("SPF", {(D, "TXT"): ["v=spf1 -all"]}, ("wrong", "dns-spf-not-allowed"), id="spf-fail"),
    pytest.param("SPF", {(D, "TXT"): ["v=spf1 a ~all"]}, ("wrong", "dns-spf-not-allowed"), id="spf-softfail"),
    pytest.param("SPF", {(D, "TXT"): ["v=spf1 +all"]}, ("wrong", "dns-spf-open"), id="spf-open"),
    pytest.param("SPF", {(D, "TXT"): ["v=spf1 mx -all", "v=spf1 a -all"]}, ("wrong", "dns-spf-several"), id="spf-two"),
    pytest.param("SPF", {(D, "TXT"): ["v=spf1 wat -all"]}, ("wrong", "dns-spf-broken"), id="spf-broken"),
    pytest.param("SPF", {(D, "TXT"): ["v=spf1 ptr -all"]}, ("unknown", "dns-spf-unclear"), id="spf-ptr"),
    pytest.param("SPF", {(D, "TXT"): SERVFAIL}, ("unknown", None), id="spf-servfail"),
    pytest.param("DMARC", {(f"_dmarc.{D}", "TXT"): ["v=DMARC1; rua=x"]}, ("wrong", "dns-dmarc-no-policy"), id="no-p"),
    pytest.param("DMARC", {(f"_dmarc.{D}", "TXT"): TWO_DMARC}, ("wrong", "dns-dmarc-several"), id="two-d"),
    pytest.param("DMARC", {(f"_dmarc.{D}", "TXT"): ["v=DMARC1;p=Reject;sp=none"]}, ("ok", None), id="dmarc-tight"),
    pytest.param("DMARC", {(f"_dmarc.{D}", "TXT"): SERVFAIL}, ("unknown", None), id="dmarc-servfail"),
    pytest.param("SRV", {(f"_submissions._tcp.{D}", "SRV"): ["0 1 465 x.net"]}, ("wrong", None), id="srv-elsewhere"),
    pytest.param("SRV", {(f"_submissions._tcp.{D}", "SRV"): [f"0 1 25 {H}"]}, ("wrong", None), id="srv-port"),
    pytest.param("SRV", {(f"_submissions._tcp.{D}", "SRV"): ["0 0 0 ."]}, ("wrong", None), id="srv-not-offered"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "expected"), CASES)
def test_one_thing_that_differs_is_told(kind: str, change: Zone, expected: tuple[str, str | None]) -> None:
    _, findings = look({**GOOD, **change})
    assert summary(row(findings, kind)) == expected
    nothing_to_enter = {"dns-spf-broken", "dns-address-to-remove"}
    assert row(findings, kind).wanted or expected[0] == "unknown" or expected[1] in nothing_to_enter


def test_advice_alone_does_not_make_a_domain_bad() -> None:
    names = [key for key in GOOD if key[0].startswith("_")]
    assert good(look(without(*names))[1])


def test_an_spf_record_of_another_provider_is_kept_and_widened() -> None:
    record = "v=spf1 include:_spf.x.net ~all"
    zone = {**GOOD, (D, "TXT"): [record], ("_spf.x.net", "TXT"): ["v=spf1 ip4:1.1.1.1 -all"]}
    assert row(look(zone)[1], "SPF").wanted == (f'{D}. IN TXT "v=spf1 include:_spf.x.net mx ~all"',)
    elsewhere = {**zone, (D, "MX"): ["10 mx.x.net"]}
    assert row(look(elsewhere)[1], "SPF").wanted == (f'{D}. IN TXT "v=spf1 include:_spf.x.net a:{H} ~all"',)


def test_a_long_record_is_cut_into_strings_that_fit() -> None:
    record = "v=spf1 " + " ".join(f"ip4:8.8.{number}.0/24" for number in range(40)) + " -all"
    (line,) = row(look({**GOOD, (D, "TXT"): [record]})[1], "SPF").wanted
    strings = line.split('"')[1::2]
    assert len(strings) > 1
    assert max(map(len, strings)) <= 255


def test_behind_a_router_the_name_s_public_address_is_taken_at_its_word() -> None:
    facts, findings = look(GOOD, "192.168.1.10")
    assert summary(row(findings, "A")) == ("ok", "dns-behind-a-router")
    assert facts.outside == (ip_address(IP),)
    assert row(findings, "PTR").name == IP
    assert good(findings)


def test_a_stated_address_is_what_everything_is_held_against() -> None:
    _, findings = look({**GOOD, (H, "A"): ["8.8.4.9"]}, IP, stated=True)
    assert summary(row(findings, "A")) == ("wrong", "dns-other-addresses")
    _, findings = look({}, "10.0.0.5", stated=True)
    assert row(findings, "A").note is None
    assert row(findings, "PTR").required


def test_within_a_private_network_mx_and_address_are_enough() -> None:
    zone: Zone = {(D, "MX"): [f"10 {H}"], (H, "A"): ["10.0.0.5"]}
    _, findings = look(zone, "10.0.0.5", "fd00::5")
    assert good(findings)
    assert not row(findings, "PTR").required
    assert not row(findings, "SPF").required
    assert [finding.kind for finding in findings].count("AAAA") == 0


def test_a_server_with_private_addresses_only_is_told_what_to_do_on_the_internet() -> None:
    _, findings = look({}, "10.0.0.5")
    assert summary(row(findings, "A")) == ("missing", "dns-only-private-addresses")


def test_an_ipv6_address_without_a_record_is_only_advice() -> None:
    _, findings = look({**GOOD, (D, "TXT"): ["v=spf1 mx ip6:2a00::/16 -all"]}, IP, "2a00::5")
    assert summary(row(findings, "AAAA")) == ("missing", None)
    assert not row(findings, "AAAA").required


def test_a_policy_of_the_domain_above_counts_for_a_subdomain() -> None:
    want = Expectation("lists.example.com", H, (ip_address(IP),))
    findings = evaluate(asyncio.run(gather(TableResolver(GOOD), want)), want)
    assert row(findings, "DMARC").status is Status.OK


def test_nobody_answering_is_not_the_same_as_nothing_there() -> None:
    names = [(D, "MX"), (H, "A"), (H, "AAAA"), (D, "TXT"), (f"_dmarc.{D}", "TXT")]
    srv = [key for key in GOOD if key[1] == "SRV"]
    facts, findings = look(dict.fromkeys([*names, *srv], SILENCE))
    assert facts.silent
    assert row(findings, "MX").status is Status.UNKNOWN
    assert not look({})[0].silent


def test_this_machine_s_own_addresses_are_never_loopback() -> None:
    assert not any(address.is_loopback or address.is_link_local for address in own_addresses())
