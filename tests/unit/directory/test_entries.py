"""Entries: names that cannot be broken out of, and facts that come back as they went in."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.directory import entries
from appliance.directory import schema as s
from appliance.directory.addresses import Address, DomainName, alias_address, domain_name, mailbox_address
from appliance.directory.connection import Attributes, Edit, Entry
from appliance.directory.model import (
    AliasChange,
    Domain,
    DomainAlias,
    DomainChange,
    MailboxChange,
    NewMailbox,
    Status,
    home,
)
from appliance.errors import BadInput

NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)


def entry(dn: str, attributes: Attributes) -> Entry:
    """What the directory gives back for what was written."""
    return Entry(
        dn,
        {
            name: [value if isinstance(value, bytes) else value.encode() for value in values]
            for name, values in attributes.items()
        },
    )


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_no_text_breaks_out_of_its_place_in_a_name(local: str, domain: str) -> None:
    """RFC 4514 2.4: what is left without the escaped characters has the separators of our four parts only."""
    address = Address(local, DomainName(domain, domain))
    bare = re.sub(r"\\.", "", entries.address_dn(address), flags=re.DOTALL)
    assert bare.count(",") == 3
    assert not set(bare) & set('+"<>;\0\\')
    assert re.sub("[^,]*", "", bare) == ",,,"
    assert bare.endswith(f",{s.DOMAINS}")


@given(st.text(max_size=60))
def test_no_text_breaks_out_of_its_place_in_a_filter(text: str) -> None:
    quoted = entries.literal(text)
    assert not set(quoted) & set("()*\0")
    assert quoted.replace("\\5c", "").replace("\\2a", "").replace("\\28", "").replace("\\29", "").count("\\") == (
        quoted.count("\\00")
    )


def test_a_new_mailbox_has_an_identity_of_its_own_and_nothing_empty() -> None:
    wanted = NewMailbox(mailbox_address("alice@例子.中国"), quota=5, password="{X}y", name="王")
    dn, attributes = entries.new_mailbox(wanted, NOW)
    assert dn == "mail=alice@xn--fsqu00a.xn--fiqs8s,associatedDomain=xn--fsqu00a.xn--fiqs8s,ou=domains,o=posthouse"
    assert attributes[s.LOGIN] == ["alice@例子.中国"]
    assert s.DESCRIPTION not in attributes
    assert s.REFUSE_MAIL not in attributes
    assert all(attributes.values())
    (identity,) = attributes[s.ID]
    assert attributes[s.PATH] == [home(str(identity))]
    assert entries.new_mailbox(wanted, NOW)[1][s.ID] != attributes[s.ID]


def test_a_mailbox_comes_back_as_it_was_made_and_without_its_password() -> None:
    wanted = NewMailbox(
        mailbox_address("alice@example.com"),
        7,
        "{X}y",
        "Alice",
        "note",
        Status.DISABLED,
        refuse_mail=True,
        group="store1",
    )
    found = entries.mailbox_of(entry(*entries.new_mailbox(wanted, NOW)))
    assert found.address == "alice@example.com"
    assert (found.quota, found.name, found.description, found.group) == (7, "Alice", "note", "store1")
    assert (found.status, found.refuse_mail, found.has_password) == (Status.DISABLED, True, True)
    assert found.password_changed_at == NOW
    assert "{X}y" not in repr(found)
    assert s.PASSWORD not in entries.MAILBOX_ATTRIBUTES


def test_where_an_entry_lies_decides_whether_it_is_deleted() -> None:
    dn, attributes = entries.new_mailbox(NewMailbox(mailbox_address("alice@example.com"), 0), NOW)
    marked = {**attributes, s.DELETED_AT: [entries.time_text(NOW)]}
    assert entries.mailbox_of(entry(dn, marked)).status is Status.ACTIVE
    assert entries.mailbox_of(entry(dn, marked)).deleted_at is None
    gone = entries.mailbox_of(entry(f"posthouseId=00,{s.DELETED}", marked))
    assert (gone.status, gone.deleted_at) == (Status.DELETED, NOW)


def test_domains_and_domain_aliases_are_told_apart() -> None:
    name, target = domain_name("例子.中国"), domain_name("example.com")
    made = entries.domain_of(entry("x", entries.new_domain(name, None)))
    assert made == Domain("xn--fsqu00a.xn--fiqs8s", "例子.中国", Status.ACTIVE, False, None)
    alias = entries.domain_of(entry("x", entries.new_domain_alias(target, name, "why")))
    assert alias == DomainAlias("example.com", "example.com", "xn--fsqu00a.xn--fiqs8s", "why")


def test_an_unknown_status_counts_as_disabled() -> None:
    attributes = {**entries.new_domain(domain_name("example.com"), None), s.STATUS: ["frozen"]}
    found = entries.domain_of(entry("x", attributes))
    assert isinstance(found, Domain)
    assert found.status is Status.DISABLED


def test_a_change_touches_only_what_it_names() -> None:
    assert entries.mailbox_changes(MailboxChange()) == {}
    assert entries.mailbox_changes(MailboxChange(quota=0, name=None)) == {
        s.QUOTA: [(Edit.REPLACE, ["0"])],
        s.QUOTA_STATE: [(Edit.REPLACE, [s.NEAR])],
        s.DISPLAY_NAME: [(Edit.REPLACE, [])],
    }
    assert entries.domain_changes(DomainChange(refuse_mail=True)) == {s.REFUSE_MAIL: [(Edit.REPLACE, ["TRUE"])]}
    added = alias_address("new@example.com")
    assert entries.alias_changes(AliasChange(add_targets=(added,)))[s.TARGET] == [(Edit.ADD, ["new@example.com"])]


def test_a_change_checks_its_texts() -> None:
    with pytest.raises(BadInput):
        entries.mailbox_changes(MailboxChange(name="a\u202eb"))
    with pytest.raises(BadInput):
        entries.domain_changes(DomainChange(description="a\nb"))


def test_a_short_term_is_looked_for_at_beginnings_and_a_longer_one_anywhere() -> None:
    assert entries.matching("k", "al", s.MAIL) == "(&(objectClass=k)(|(mail=al*)))"
    assert entries.matching("k", "王", s.MAIL) == "(&(objectClass=k)(|(mail=*王*)))"
    assert entries.matching("k", "a*)", s.MAIL, s.DISPLAY_NAME) == (
        "(&(objectClass=k)(|(mail=*a\\2a\\29*)(displayName=*a\\2a\\29*)))"
    )


@pytest.mark.parametrize("term", ["", "   ", "x" * 65536])
def test_a_term_that_finds_nothing_sensible_is_refused(term: str) -> None:
    with pytest.raises(BadInput) as refusal:
        entries.matching("k", term, s.MAIL)
    assert refusal.value.field == "term"
