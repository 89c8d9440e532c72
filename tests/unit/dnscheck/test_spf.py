"""Sender policies, judged as RFC 7208 says."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dnscheck.spf import MAX_LOOKUPS, Verdict, check_host, is_policy, mend, parse
from tests.unit.dnscheck.table_resolver import SERVFAIL, TableResolver, Zone

D = "example.com"
ZONE: Zone = {
    (D, "MX"): ["10 mx1.example.com", "20 mx2.example.com"],
    (D, "A"): ["198.51.100.9"],
    ("mx1.example.com", "A"): ["192.0.2.1"],
    ("mx2.example.com", "AAAA"): ["2001:db8::2"],
    ("other.example.net", "TXT"): ["v=spf1 ip4:203.0.113.0/24 -all"],
    ("none.example.net", "TXT"): ["hello"],
    ("broken.example.net", "TXT"): ["v=spf1 whatever -all"],
    ("loop.example.net", "TXT"): ["v=spf1 include:loop.example.net -all"],
    ("fail.example.net", "TXT"): SERVFAIL,
    ("exists.example.net", "A"): ["127.0.0.2"],
}


def judge(record: str | list[str], address: str) -> Verdict:
    zone = {**ZONE, (D, "TXT"): ["unrelated", *([record] if isinstance(record, str) else record)]}
    return asyncio.run(check_host(TableResolver(zone), D, ip_address(address)))


@pytest.mark.parametrize(
    ("record", "address", "verdict"),
    [
        ("v=spf1 -all", "192.0.2.1", Verdict.FAIL),
        ("v=spf1 ~all", "192.0.2.1", Verdict.SOFTFAIL),
        ("v=spf1 ?all", "192.0.2.1", Verdict.NEUTRAL),
        ("v=spf1", "192.0.2.1", Verdict.NEUTRAL),
        ("V=SPF1 ALL", "192.0.2.1", Verdict.PASS),
        ("v=spf1 mx -all", "192.0.2.1", Verdict.PASS),
        ("v=spf1 mx -all", "2001:db8::2", Verdict.PASS),
        ("v=spf1 mx -all", "192.0.2.7", Verdict.FAIL),
        ("v=spf1 mx/24 -all", "192.0.2.7", Verdict.PASS),
        ("v=spf1 mx//64 -all", "2001:db8::77", Verdict.PASS),
        ("v=spf1 mx/32//64 -all", "192.0.2.7", Verdict.FAIL),
        ("v=spf1 a -all", "198.51.100.9", Verdict.PASS),
        ("v=spf1 a:mx1.example.com -all", "192.0.2.1", Verdict.PASS),
        ("v=spf1 a:mx1.example.com/28 -all", "192.0.2.15", Verdict.PASS),
        ("v=spf1 -a:mx1.example.com +all", "192.0.2.1", Verdict.FAIL),
        ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.1", Verdict.PASS),
        ("v=spf1 ip4:192.0.2.1 -all", "2001:db8::2", Verdict.FAIL),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::2", Verdict.PASS),
        ("v=spf1 include:other.example.net -all", "203.0.113.5", Verdict.PASS),
        ("v=spf1 include:other.example.net ~all", "192.0.2.1", Verdict.SOFTFAIL),
        ("v=spf1 include:none.example.net -all", "192.0.2.1", Verdict.PERMERROR),
        ("v=spf1 include:absent.example.net -all", "192.0.2.1", Verdict.PERMERROR),
        ("v=spf1 include:broken.example.net -all", "192.0.2.1", Verdict.PERMERROR),
        ("v=spf1 include:loop.example.net -all", "192.0.2.1", Verdict.PERMERROR),
        ("v=spf1 include:fail.example.net -all", "192.0.2.1", Verdict.TEMPERROR),
        ("v=spf1 redirect=other.example.net", "203.0.113.5", Verdict.PASS),
        ("v=spf1 redirect=other.example.net", "192.0.2.1", Verdict.FAIL),
        ("v=spf1 redirect=none.example.net", "192.0.2.1", Verdict.PERMERROR),
        ("v=spf1 -all redirect=other.example.net", "203.0.113.5", Verdict.FAIL),
        ("v=spf1 exists:exists.example.net -all", "192.0.2.1", Verdict.PASS),
        ("v=spf1 exists:%{i}.example.net -all", "192.0.2.1", Verdict.UNCLEAR),
        ("v=spf1 ptr -all", "192.0.2.1", Verdict.UNCLEAR),
        ("v=spf1 mx exp=why.example.com -all", "192.0.2.1", Verdict.PASS),
        ("v=spf1 ip4:999.1.1.1 -all", "192.0.2.1", Verdict.PERMERROR),
        ("v=spf1 ip4:2001:db8::/32 -all", "192.0.2.1", Verdict.PERMERROR),
        ("v=spf1 mx/33 -all", "192.0.2.1", Verdict.PERMERROR),
        ("v=spf1 include -all", "192.0.2.1", Verdict.PERMERROR),
        ([], "192.0.2.1", Verdict.NONE),
        (["v=spf1 mx -all", "v=spf1 a -all"], "192.0.2.1", Verdict.PERMERROR),
        ("v=spf10 mx -all", "192.0.2.1", Verdict.NONE),
    ],
)
def test_an_address_gets_the_verdict_of_the_record(record: str | list[str], address: str, verdict: Verdict) -> None:
    assert judge(record, address) is verdict


def test_more_questions_than_allowed_break_the_record() -> None:
    many = " ".join(f"a:h{number}.example.com" for number in range(MAX_LOOKUPS))
    assert judge(f"v=spf1 {many} -all", "192.0.2.1") is Verdict.FAIL
    assert judge(f"v=spf1 {many} mx -all", "192.0.2.1") is Verdict.PERMERROR


@pytest.mark.parametrize(
    ("records", "mechanism", "mended"),
    [
        pytest.param([], "mx", "v=spf1 mx -all", id="new"),
        pytest.param(
            ["v=spf1 include:x.example -all"], "mx", "v=spf1 include:x.example mx -all", id="added-before-all"
        ),
        pytest.param(["v=spf1 a ~all"], "mx", "v=spf1 a mx ~all", id="its-own-all-stays"),
        pytest.param(["v=spf1 redirect=x.example"], "mx", "v=spf1 mx redirect=x.example", id="redirect-stays-last"),
        pytest.param(["v=spf1 a +all"], "mx", "v=spf1 a mx -all", id="no-longer-open"),
        pytest.param(["v=spf1 mx all"], "mx", "v=spf1 mx -all", id="not-twice"),
        pytest.param(["v=spf1 a -all", "v=spf1 mx ~all"], "", "v=spf1 a mx -all", id="merged"),
        pytest.param(["v=spf1 a"], "mx", "v=spf1 a mx -all", id="without-all"),
        pytest.param(["v=spf1 nonsense -all"], "mx", None, id="broken-is-for-its-author"),
    ],
)
def test_a_record_is_mended_without_losing_what_it_said(records: list[str], mechanism: str, mended: str | None) -> None:
    assert mend(records, mechanism) == mended


words = st.lists(
    st.one_of(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
        st.sampled_from(
            ["mx", "-all", "a:x/24//64", "ip4:1.2.3.4/8", "include:x", "redirect=x", "a//", "mx/", "?", "-"]
        ),
    ),
    max_size=6,
)


@given(words=words)
def test_no_record_upsets_the_parser(words: list[str]) -> None:
    text = " ".join(["v=spf1", *words])
    assert is_policy(text) or not words
    try:
        parse(text)
    except ValueError:
        return
    assert judge(text, "192.0.2.1") in set(Verdict)


@given(words=words)
def test_a_mended_record_can_be_read_and_is_not_open(words: list[str]) -> None:
    mended = mend([" ".join(["v=spf1", *words])], "mx")
    if mended is not None:
        assert all(not (term.name == "all" and term.qualifier is Verdict.PASS) for term in parse(mended).terms)
        assert "mx" in mended.split()
