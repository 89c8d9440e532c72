"""Addresses, domains and names: one stored form for all ways of writing, a named refusal for all else."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.directory.addresses import (
    MAX_ADDRESS,
    MAX_DOMAIN,
    MAX_LOCAL,
    MAX_NAME,
    RESERVED,
    alias_address,
    any_address,
    display_name,
    domain_name,
    excerpt,
    mailbox_address,
    target_address,
)
from appliance.errors import BadInput

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True).filter(lambda label: label[2:4] != "--")
DOMAIN = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
LOCAL = st.from_regex(r"[a-z0-9_'](\.?[a-z0-9_'-]){0,20}", fullmatch=True).filter(lambda local: local not in RESERVED)


@given(DOMAIN)
def test_a_domain_is_its_own_stored_form_however_it_is_written(domain: str) -> None:
    stored = domain_name(domain)
    assert str(stored) == domain
    assert domain_name(domain.upper()) == domain_name(f" {domain}. ") == stored == domain_name(stored.display)


@given(LOCAL, DOMAIN)
def test_an_address_is_stored_in_lower_case(local: str, domain: str) -> None:
    address = mailbox_address(f"{local.upper()}@{domain.upper()}")
    assert str(address) == f"{local}@{domain}"
    assert mailbox_address(str(address)) == alias_address(str(address)) == any_address(str(address)) == address


@given(st.text(max_size=300))
def test_any_text_gives_a_sound_address_or_a_refusal_that_names_the_field(text: str) -> None:
    for read in (mailbox_address, alias_address, target_address, any_address):
        try:
            address = read(text, "somewhere")
        except BadInput as refusal:
            told = str(refusal)
            assert told.startswith("somewhere: ")
            continue
        stored = str(address)
        assert stored.isascii()
        assert stored.isprintable()
        assert len(stored) <= MAX_ADDRESS
        assert not set(address.domain.ascii) & set(" /\\()*,=<>\0")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=2 * MAX_NAME))
def test_a_name_that_is_accepted_can_neither_hide_nor_reorder_text(text: str) -> None:
    try:
        name = display_name(text)
    except BadInput:
        return
    assert len(name) <= MAX_NAME
    assert unicodedata.is_normalized("NFC", name)
    assert not {unicodedata.bidirectional(each) for each in name} & {
        "LRE",
        "RLE",
        "LRO",
        "RLO",
        "PDF",
        "LRI",
        "RLI",
        "FSI",
    }
    assert not any(unicodedata.category(each) == "Cc" for each in name)


@pytest.mark.parametrize(
    ("written", "stored", "display"),
    [
        ("例子.中国", "xn--fsqu00a.xn--fiqs8s", "例子.中国"),
        ("例子。中国", "xn--fsqu00a.xn--fiqs8s", "例子.中国"),
        ("XN--FSQU00A.xn--fiqs8s", "xn--fsqu00a.xn--fiqs8s", "例子.中国"),
        ("Bücher.example", "xn--bcher-kva.example", "bücher.example"),
        ("faß.example", "xn--fa-hia.example", "faß.example"),
        ("ＥＸＡＭＰＬＥ.com", "example.com", "example.com"),
        ("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f", "пример.испытание"),
        ("mail.test", "mail.test", "mail.test"),
    ],
)
def test_an_international_domain_is_stored_as_a_labels_and_shown_as_u_labels(
    written: str, stored: str, display: str
) -> None:
    domain = domain_name(written)
    assert (domain.ascii, domain.display) == (stored, display)
    assert domain.international == (stored != display)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("", "domain-empty"),
        (".", "domain-empty"),
        ("localhost", "domain-incomplete"),
        ("192.0.2.1", "domain-incomplete"),
        ("[192.0.2.1]", "domain-malformed"),
        ("a..example", "domain-malformed"),
        ("-a.example", "domain-malformed"),
        ("a_b.example", "domain-malformed"),
        ("a b.example", "domain-malformed"),
        ("a/../b.example", "domain-malformed"),
        ("a.example\0", "domain-malformed"),
        ("\u202eevil.example", "domain-malformed"),
        ("☃.example", "domain-malformed"),
        ("xn--a.example", "domain-malformed"),
        ("a,ou=domains.example", "domain-malformed"),
        (f"{'a' * 64}.example", "domain-malformed"),
        ("x" * 65536, "domain-too-long"),
        ("例" * 65536, "domain-too-long"),
    ],
)
def test_what_is_no_domain_is_refused(written: str, key: str) -> None:
    with pytest.raises(BadInput) as refusal:
        domain_name(written)
    assert refusal.value.key == key
    assert len(str(refusal.value)) < 400


def test_the_longest_domain_and_address_pass_and_the_next_longer_do_not() -> None:
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(longest) == MAX_DOMAIN
    assert str(domain_name(longest)) == longest
    with pytest.raises(BadInput):
        domain_name(f"{longest}d")
    assert mailbox_address(f"{'a' * MAX_LOCAL}@example.com")
    with pytest.raises(BadInput) as refusal:
        mailbox_address(f"{'a' * (MAX_LOCAL + 1)}@example.com")
    assert (refusal.value.key, refusal.value.facts["maximum"]) == ("address-local-too-long", MAX_LOCAL)
    with pytest.raises(BadInput) as refusal:
        mailbox_address(f"ab@{longest}")
    assert refusal.value.key == "address-too-long"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("alice", "address-incomplete"),
        ("@example.com", "address-incomplete"),
        ("", "address-incomplete"),
        (".alice@example.com", "address-dots"),
        ("alice.@example.com", "address-dots"),
        ("al..ice@example.com", "address-dots"),
        ("../../etc/passwd@example.com", "address-mailbox-character"),
        ("a/b@example.com", "address-mailbox-character"),
        ("a\\b@example.com", "address-mailbox-character"),
        ("a\0b@example.com", "address-mailbox-character"),
        ("a\nb@example.com", "address-mailbox-character"),
        ("a b@example.com", "address-mailbox-character"),
        ("a*@example.com", "address-mailbox-character"),
        ("a)(mail=*@example.com", "address-mailbox-character"),
        ("a,ou=x@example.com", "address-mailbox-character"),
        ("a+b@example.com", "address-mailbox-character"),
        ("a@b@example.com", "address-mailbox-character"),
        ('"a b"@example.com', "address-mailbox-character"),
        ("a%b@example.com", "address-mailbox-character"),
        ("用户@example.com", "address-mailbox-character"),
        ("-f@example.com", "address-leading-hyphen"),
        ("ROOT@example.com", "address-reserved"),
        ("mailer-daemon@example.com", "address-reserved"),
        ("a" * 65536 + "@example.com", "address-local-too-long"),
    ],
)
def test_what_cannot_be_a_mailbox_is_refused(written: str, key: str) -> None:
    with pytest.raises(BadInput) as refusal:
        mailbox_address(written)
    assert refusal.value.key == key
    assert len(str(refusal.value)) < 400


def test_only_mailboxes_are_kept_from_the_names_of_system_accounts() -> None:
    assert str(alias_address("root@example.com")) == "root@example.com"
    assert str(mailbox_address("postmaster@example.com")) == "postmaster@example.com"


def test_an_alias_may_stand_for_a_whole_domain_and_for_an_extension() -> None:
    everything = alias_address("@例子.中国")
    assert (str(everything), everything.is_catch_all) == ("@xn--fsqu00a.xn--fiqs8s", True)
    assert str(alias_address("News+Weekly@example.com")) == "news+weekly@example.com"


def test_a_target_elsewhere_keeps_its_case_and_may_have_any_atom() -> None:
    assert str(target_address("Mixed.Case+x/y=z@Example.ORG")) == "Mixed.Case+x/y=z@example.org"


@pytest.mark.parametrize(
    "name", ["王伟", "Åsa Öberg", "한국어", "क्‍ष", "👩‍👩‍👧", 'O\'Brien, "Bob" <x>', "\U0001fae8 new"]
)
def test_names_of_all_scripts_are_welcome(name: str) -> None:
    assert display_name(f"  {name} ") == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "unfit",
    ["a\0b", "a\nb", "a\x1b[31mb", "a\u202eb", "a\u2066b", "a\u200bb", "a\ufeffb", "a\u2028b", "a\ud800b", "a\uffffb"],
)
def test_a_name_with_a_character_that_deceives_is_refused(unfit: str) -> None:
    with pytest.raises(BadInput) as refusal:
        display_name(unfit)
    assert refusal.value.key == "name-character"
    assert refusal.value.facts["character"].startswith("U+")


def test_a_very_long_name_is_refused_before_anything_is_done_with_it() -> None:
    with pytest.raises(BadInput) as refusal:
        display_name("é" * 65536)
    assert refusal.value.key == "name-too-long"


def test_an_excerpt_is_short_and_printable() -> None:
    assert excerpt("\x1b[2J" + "x" * 200) == "\ufffd[2J" + "x" * 56 + "…"
