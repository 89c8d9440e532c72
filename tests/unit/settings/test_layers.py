"""Inheritance: which layer's value counts, and what happens to values that cannot."""

from __future__ import annotations

import pytest

from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName
from appliance.coordination.store import Record
from appliance.settings.layers import SYSTEM, Layer, Owner, account_settings, effective, engine_settings
from appliance.settings.parameter import Scope
from appliance.settings.registry import PARAMETERS, parameter

NODE = Owner(Scope.NODE, "n1")
GROUP = Owner(Scope.GROUP, "mail")
DOMAIN = Owner(Scope.DOMAIN, "example.com")
MAILBOX = Owner(Scope.MAILBOX, "alice@example.com")
LIMIT = "smtp.process_limit"


def record(owner: Owner, name: str, text: str) -> Record:
    return Record(keys.setting(owner.scope, owner.name, name), text, 1, 1)


@pytest.mark.parametrize(
    ("stored", "value", "origin"),
    [
        ({}, 100, None),
        ({SYSTEM: "70"}, 70, SYSTEM),
        ({NODE: "80"}, 80, NODE),
        ({SYSTEM: "70", NODE: "80"}, 80, NODE),
        ({SYSTEM: "70", GROUP: "90"}, 90, GROUP),
        ({SYSTEM: "70", NODE: "80", GROUP: "90"}, 90, GROUP),
        ({Owner(Scope.NODE, "n2"): "80", Owner(Scope.GROUP, "other"): "90"}, 100, None),
    ],
)
def test_engines_inherit_system_then_node_then_group(
    stored: dict[Owner, str], value: int, origin: Owner | None
) -> None:
    records = [record(owner, LIMIT, text) for owner, text in stored.items()]
    settings = engine_settings(records, NodeName("n1"), GroupName("mail"))
    assert settings[LIMIT] == value
    assert not settings.refused
    layers = [Layer(owner, {LIMIT: stored[owner]}) for owner in (SYSTEM, NODE, GROUP) if owner in stored]
    assert effective(parameter(LIMIT), layers).origin == origin


@pytest.mark.parametrize("bad", ["", "x", "null", '"90"', "1e999", "0", "-5", "99999999", "[90]", "true", "{}"])
def test_a_bad_stored_value_falls_back_to_the_next_layer_and_is_reported(bad: str) -> None:
    records = [record(SYSTEM, LIMIT, "70"), record(GROUP, LIMIT, bad)]
    settings = engine_settings(records, NodeName("n1"), GroupName("mail"))
    assert settings[LIMIT] == 70
    assert [(refused.owner, refused.name) for refused in settings.refused] == [(GROUP, LIMIT)]
    assert "group/mail" in str(settings.refused[0])


def test_a_value_at_a_scope_where_it_may_not_stand_is_passed_over() -> None:
    settings = engine_settings([record(NODE, "mailbox.quota", "5")], NodeName("n1"), GroupName("mail"))
    assert settings["mailbox.quota"] == 2**30
    assert settings.refused[0].error.key == "setting-wrong-scope"


def test_names_and_scopes_of_other_releases_are_ignored() -> None:
    records = [
        record(SYSTEM, "smtp.of_the_future", "1"),
        Record(keys.SETTINGS + "planet/earth/smtp.process_limit", "5", 1, 1),
        Record(keys.SETTINGS + "changes", "x", 1, 1),
    ]
    settings = engine_settings(records, NodeName("n1"), GroupName("mail"))
    assert settings[LIMIT] == 100
    assert not settings.refused
    assert set(settings) == set(PARAMETERS)
    assert len(settings) == len(PARAMETERS)


def test_stored_values_that_contradict_each_other_are_used_and_reported() -> None:
    settings = engine_settings([record(NODE, LIMIT, "10")], NodeName("n1"), GroupName("mail"))
    assert settings[LIMIT] == 10
    assert [error.key for error in settings.broken] == ["settings-client-above-process-limit"]


@pytest.mark.parametrize(
    ("system", "domain", "mailbox", "value"),
    [({}, {}, {}, 2**30), ({1: 1}, {}, {}, 10), ({1: 1}, {1: 1}, {}, 20), ({1: 1}, {1: 1}, {1: 1}, 30)],
)
def test_accounts_inherit_system_then_domain_then_mailbox(
    system: dict[int, int], domain: dict[int, int], mailbox: dict[int, int], value: int
) -> None:
    layers = [
        Layer(owner, {"mailbox.quota": text} if present else {})
        for owner, text, present in ((SYSTEM, "10", system), (DOMAIN, "20", domain), (MAILBOX, "30", mailbox))
    ]
    assert account_settings(*layers)["mailbox.quota"] == value


def test_lists_come_back_as_tuples() -> None:
    settings = engine_settings(
        [record(SYSTEM, "smtp.mynetworks", '["192.0.2.0/24"]')], NodeName("n1"), GroupName("mail")
    )
    assert settings["smtp.mynetworks"] == ("192.0.2.0/24",)
