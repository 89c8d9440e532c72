"""Which fields a domain gives its mailboxes."""

from __future__ import annotations

import pytest

from appliance.engines.dovecot import domain_fields

ON = "searched.test:::::::userdb_fts=xapian\n"


@pytest.mark.parametrize(
    ("stored", "default", "expected"),
    [
        ({}, False, ""),
        ({}, True, ON),
        ({"fts.enabled": "true"}, False, ON),
        ({"fts.enabled": "false"}, True, ""),
        ({"fts.enabled": "maybe"}, False, ""),
        ({"fts.enabled": "maybe"}, True, ON),
    ],
)
def test_the_domains_own_choice_comes_before_the_systems(stored: dict[str, str], default: bool, expected: str) -> None:
    assert domain_fields.text([("searched.test", stored)], {"fts.enabled": default}) == expected


def test_each_domain_has_a_line_of_its_own_in_order() -> None:
    domains = [("b.test", {"fts.enabled": "true"}), ("a.test", {"fts.enabled": "true"}), ("c.test", {})]
    lines = domain_fields.text(domains, {}).splitlines()
    assert [line.split(":")[0] for line in lines] == ["a.test", "b.test"]
