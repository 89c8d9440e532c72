"""The registered parameters and the rules between them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.errors import BadInput, NotFound
from appliance.i18n import LANGUAGES, speaking, translate
from appliance.settings.parameter import Parameter, Scope
from appliance.settings.registry import CHECKS, PARAMETERS, SECTIONS, broken_rules, defaults, parameter
from appliance.settings.sections.password import OWASP_ARGON2ID

ROOT = Path(__file__).parents[3]
ALL = list(PARAMETERS.values())


@pytest.mark.parametrize("each", ALL, ids=list(PARAMETERS))
def test_a_default_is_a_valid_value_and_survives_the_store(each: Parameter) -> None:
    assert each.load(each.dump(each.default)) == each.default
    assert each.parse(each.format(each.default)) == each.default


@pytest.mark.parametrize("each", ALL, ids=list(PARAMETERS))
def test_a_parameter_has_a_proper_name_and_scopes(each: Parameter) -> None:
    assert re.fullmatch(r"[a-z0-9]+\.[a-z0-9]+(_[a-z0-9]+)*", each.name)
    assert Scope.SYSTEM in each.scopes
    account = {Scope.DOMAIN, Scope.MAILBOX}
    assert not (account.intersection(each.scopes) and {Scope.NODE, Scope.GROUP}.intersection(each.scopes))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_parameter_section_kind_and_rule_is_told_in_every_language(lang: str) -> None:
    with speaking(lang):
        for each in ALL:
            assert each.title
            assert len(each.help) > 10
            assert translate(f"setting-kind-{each.kind.name}")
            assert translate(f"setting-applies-{each.apply}")
        for section in SECTIONS:
            assert translate(f"settings-section-{section}")
        for check in CHECKS:
            formatted = {name: PARAMETERS[name].format(PARAMETERS[name].default) for name in check.parameters}
            assert translate(check.key, field=check.parameters[0], **check.facts(formatted))


def test_the_defaults_keep_every_rule() -> None:
    assert list(broken_rules(defaults())) == []


def test_a_refused_value_names_the_parameter_the_bound_and_the_problem() -> None:
    with speaking("en"), pytest.raises(BadInput) as refused:
        parameter("smtp.message_size_limit").parse("1K")
    assert refused.value.field == "smtp.message_size_limit"
    with speaking("en"):
        assert str(refused.value) == "smtp.message_size_limit: 1K is less than the minimum of 64K"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(NotFound) as error:
        parameter("smtp.mesage_size")
    assert error.value.facts["nearest"] == "smtp.message_size_limit"
    with pytest.raises(NotFound) as error:
        parameter("zzz")
    assert error.value.key == "setting-unknown"


@pytest.mark.parametrize(
    ("memory", "passes", "strong"),
    [(pair[0], pair[1], True) for pair in OWASP_ARGON2ID]
    + [(pair[0] - 1024, pair[1], False) for pair in OWASP_ARGON2ID]
    + [(2**30, 1, True), (7 * 2**20, 100, True), (46 * 2**20 - 1, 1, False)],
)
def test_argon2_parameters_are_never_weaker_than_owasp_allows(memory: int, passes: int, strong: bool) -> None:
    values = {**defaults(), "password.hash_memory": memory, "password.hash_time": passes}
    assert (list(broken_rules(values)) == []) is strong


@pytest.mark.parametrize(
    ("change", "field", "key"),
    [
        ({"smtp.queue_lifetime": 60}, "smtp.bounce_lifetime", "settings-bounces-outlive-mail"),
        ({"smtp.process_limit": 10}, "smtp.client_connection_limit", "settings-client-above-process-limit"),
        ({"smtp.retry_interval_max": 10}, "smtp.retry_interval_min", "settings-retry-interval-reversed"),
        ({"imap.process_limit": 5}, "imap.max_connections_per_user_ip", "settings-user-above-process-limit"),
        ({"pop3.process_limit": 5}, "pop3.max_connections_per_user_ip", "settings-user-above-process-limit"),
        ({"lmtp.process_limit": 5}, "lmtp.concurrency", "settings-lmtp-concurrency-above-process-limit"),
    ],
)
def test_values_that_contradict_each_other_break_a_rule(change: dict[str, int], field: str, key: str) -> None:
    broken = list(broken_rules({**defaults(), **change}))
    assert [(error.field, error.key) for error in broken] == [(field, key)]
    assert str(broken[0]).startswith(field)


def test_every_parameter_is_read_by_something() -> None:
    """A parameter that nothing reads is a promise to the operator that nobody keeps."""
    rooms = [path for room in ("appliance", "nodeagent", "controller") for path in (ROOT / room).rglob("*.py")]
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in rooms if path.parts[-3:-1] != ("settings", "sections")
    )
    unread = [name for name in PARAMETERS if f'"{name}"' not in code and f"'{name}'" not in code]
    assert not unread
