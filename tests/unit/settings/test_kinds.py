"""Kinds: what each accepts, what it refuses and why."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.settings.kinds import (
    Boolean,
    Choice,
    Destination,
    Duration,
    Hostname,
    Integer,
    Kind,
    ListOf,
    Network,
    Refusal,
    Size,
    Text,
)
from appliance.settings.registry import PARAMETERS

ACCEPTED = [
    (Integer(1, 10), " 7 ", 7),
    (Size(1024, 2**30), "25M", 25 * 2**20),
    (Duration(0, 86400), "1h30m", 5400),
    (Boolean(), "ON", True),
    (Boolean(), "no", False),
    (Choice(("TLSv1.2", "TLSv1.3")), "tlsv1.3", "TLSv1.3"),
    (Text("[a-z ]+", "letters"), " two words ", "two words"),
    (Hostname(), "MAIL.Example.com.", "mail.example.com"),
    (Hostname(), "邮件.例子.cn", "xn--5nq051n.xn--fsqu00a.cn"),
    (Hostname(optional=True), "", ""),
    (Destination(), "", ""),
    (Destination(), "relay.example.com", "relay.example.com"),
    (Destination(), "[relay.example.com]:587", "[relay.example.com]:587"),
    (Destination(), "[192.0.2.1]:2525", "[192.0.2.1]:2525"),
    (Destination(), "[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
    (Network(), "192.0.2.0/24", "192.0.2.0/24"),
    (Network(), "192.0.2.7", "192.0.2.7/32"),
    (Network(), "2001:DB8::/32", "2001:db8::/32"),
    (ListOf(Network()), "", ()),
    (ListOf(Network()), "192.0.2.0/24, 10.0.0.0/8", ("192.0.2.0/24", "10.0.0.0/8")),
    (ListOf(Integer(1, 99), ascending=True), "80 95", (80, 95)),
]

REFUSED = [
    (Integer(1, 10), "0", "setting-too-small"),
    (Integer(1, 10), "11", "setting-too-large"),
    (Integer(1, 10), "1.0", "setting-not-integer"),
    (Integer(1, 10), "٣", "setting-not-integer"),
    (Integer(1, 10), "9" * 5000, "setting-not-integer"),
    (Size(1024, 2**30), "1", "setting-too-small"),
    (Size(1024, 2**30), "many", "setting-not-size"),
    (Duration(10, 60), "2m", "setting-too-large"),
    (Duration(10, 60), "soon", "setting-not-duration"),
    (Boolean(), "maybe", "setting-not-boolean"),
    (Choice(("a", "b")), "c", "setting-not-choice"),
    (Text("[a-z]+", "letters", max_length=3), "abcd", "setting-too-long"),
    (Text("[a-z]+", "letters"), "a\nb", "setting-not-of-form"),
    (Text("[a-z]+", "letters"), "ab\n\x00", "setting-not-of-form"),
    (Hostname(), "localhost", "setting-not-hostname"),
    (Hostname(), "", "setting-not-hostname"),
    (Hostname(), "192.0.2.1", "setting-not-hostname"),
    (Hostname(), "a..b", "setting-not-hostname"),
    (Hostname(), "-a.example.com", "setting-not-hostname"),
    (Hostname(), "a_b.example.com", "setting-not-hostname"),
    (Hostname(), "mail.example.com\nx", "setting-not-hostname"),
    (Destination(), "relay.example.com:0", "setting-not-destination"),
    (Destination(), "relay.example.com:65536", "setting-not-destination"),
    (Destination(), "[relay", "setting-not-destination"),
    (Destination(), "smtp:relay.example.com", "setting-not-destination"),
    (Destination(), "relay.example.com x", "setting-not-destination"),
    (Network(), "192.0.2.1/24", "setting-not-network"),
    (Network(), "everybody", "setting-not-network"),
    (Network(), "0.0.0.0/0", "setting-network-too-large"),
    (Network(), "128.0.0.0/7", "setting-network-too-large"),
    (Network(), "::/0", "setting-network-too-large"),
    (Network(), "2000::/3", "setting-network-too-large"),
    (ListOf(Choice(("a", "b")), minimum=1), "", "setting-list-length"),
    (ListOf(Choice(("a", "b"))), "a,a", "setting-list-repeats"),
    (ListOf(Choice(("a", "b"))), "a,c", "setting-not-choice"),
    (ListOf(Integer(1, 99), ascending=True), "95,80", "setting-list-not-ascending"),
]

WRONG_JSON = [
    (Integer(1, 10), True),
    (Integer(1, 10), 1.0),
    (Integer(1, 10), "1"),
    (Size(0, 10), None),
    (Boolean(), 1),
    (Choice(("a",)), ["a"]),
    (Hostname(), "MAIL.example.com"),
    (ListOf(Integer(1, 10)), 5),
    (ListOf(Integer(1, 10)), "5"),
    (ListOf(Integer(1, 10)), [5, "6"]),
]


@pytest.mark.parametrize(("kind", "text", "value"), ACCEPTED)
def test_what_people_write_becomes_the_stored_value(kind: Kind, text: str, value: Any) -> None:
    assert kind.parse(text) == value
    assert kind.parse(kind.format(value)) == value
    assert kind.check(json.loads(json.dumps(value))) == value


@pytest.mark.parametrize(("kind", "text", "key"), REFUSED)
def test_a_refusal_says_why(kind: Kind, text: str, key: str) -> None:
    with pytest.raises(Refusal) as refusal:
        kind.parse(text)
    assert refusal.value.key == key


@pytest.mark.parametrize(("kind", "value"), WRONG_JSON)
def test_json_of_another_form_is_refused(kind: Kind, value: Any) -> None:
    with pytest.raises(Refusal):
        kind.check(value)


#: What is written so that it can be read again; secrets are not written (test_secrets.py).
SHOWN = {name: parameter.kind for name, parameter in PARAMETERS.items() if not parameter.kind.is_secret}


@pytest.mark.parametrize("kind", SHOWN.values(), ids=list(SHOWN))
@given(text=st.text(max_size=60))
def test_no_text_crashes_a_kind(kind: Kind, text: str) -> None:
    try:
        value = kind.parse(text)
    except Refusal:
        return
    assert kind.parse(kind.format(value)) == value
    assert kind.check(json.loads(json.dumps(value))) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.parametrize("kind", [parameter.kind for parameter in PARAMETERS.values()], ids=list(PARAMETERS))
@given(value=json_values)
def test_no_json_value_crashes_a_kind(kind: Kind, value: Any) -> None:
    with suppress(Refusal):
        kind.check(value)
