"""Which fields a domain gives its mailboxes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from appliance.cluster.names import MAIL_GROUP, EngineName, InstanceId
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


def test_a_new_choice_of_the_system_counts_although_its_file_looks_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = InstanceId(EngineName("dovecot"), MAIL_GROUP)
    monkeypatch.setattr(domain_fields, "config", lambda _: tmp_path)
    monkeypatch.setattr(domain_fields, "table", lambda _: tmp_path / "table")
    (tmp_path / "table").write_text("")
    made = time.time() - 5
    os.utime(tmp_path / "table", (made, made))
    choice = tmp_path / domain_fields.DEFAULTS
    choice.write_text("{}")
    os.utime(choice, (made - 10, made - 10))
    assert domain_fields.outdated(instance)
    os.utime(tmp_path / "table", (time.time() + 1, time.time() + 1))
    assert not domain_fields.outdated(instance)
