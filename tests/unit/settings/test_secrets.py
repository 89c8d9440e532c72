"""A parameter that is a password: sealed where it is stored, never shown, rendered for root alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import MAIL_GROUP, EngineName, InstanceId, NodeName
from appliance.engines.base import RenderContext
from appliance.engines.postfix.engine import Postfix
from appliance.pki import sealing
from appliance.pki.sealing import SealingFailed
from appliance.settings.kinds import Refusal, Secret
from appliance.settings.layers import SYSTEM, Layer, resolve
from appliance.settings.registry import PARAMETERS

PASSWORD = "open,sesame:9"
KIND = Secret()


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "sealing.key"
    monkeypatch.setattr(sealing, "KEY_FILE", file)
    sealing.ensure_key()
    return file


@pytest.mark.usefixtures("key")
def test_what_is_stored_and_what_is_shown_do_not_hold_the_password() -> None:
    stored = KIND.parse(PASSWORD)
    assert PASSWORD not in stored
    assert KIND.check(stored) == stored
    assert KIND.format(stored) == "********"
    assert sealing.unseal(stored) == PASSWORD
    assert (KIND.parse(""), KIND.format("")) == ("", "")


@pytest.mark.parametrize("text", ["two words", "tab\t", "密码", "x" * 129, "line\n"])
def test_what_no_table_can_hold_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(Refusal) as refusal:
        KIND.parse(text)
    assert text not in str(refusal.value.facts)


def test_a_password_that_was_stored_in_the_clear_is_refused_without_being_told() -> None:
    with pytest.raises(Refusal) as refusal:
        KIND.check(PASSWORD)
    assert PASSWORD not in str(refusal.value.facts)


def context(**stored: str) -> RenderContext:
    values = {f"smtp.{name}": PARAMETERS[f"smtp.{name}"].dump(value) for name, value in stored.items()}
    settings = resolve([Layer(SYSTEM, values)])
    group = ServiceGroup(name=MAIL_GROUP, services=(EngineName("postfix"),), candidates=(NodeName("n1"),))
    node = Node(name=NodeName("n1"), roles=frozenset({Role.EDGE}))
    return RenderContext(InstanceId(EngineName("postfix"), MAIL_GROUP), group, node, "mail.example.com", settings)


def test_postfix_gets_the_password_in_a_file_that_only_root_reads(key: Path) -> None:
    where = {"relay_host": "[relay.example.com]:587", "relay_user": "alice"}
    asked = context(**where, relay_password=KIND.parse(PASSWORD))
    files = Postfix().render(asked)
    table = files["relay-password"]
    assert (table.text, table.mode, table.group) == (f"[relay.example.com]:587 alice:{PASSWORD}\n", 0o600, "root")
    assert not any(PASSWORD in file.text for name, file in files.items() if name != "relay-password")
    assert "smtp_tls_policy_maps = inline:{ { [relay.example.com]:587 = secure } }" in files["main.cf"].text
    assert "smtp_tls_wrappermode" not in files["main.cf"].text
    key.unlink()
    with pytest.raises(SealingFailed):
        Postfix().render(asked)


def test_without_a_user_nothing_is_said_of_signing_in() -> None:
    files = Postfix().render(context(relay_host="relay.example.com:465"))
    assert "relay-password" not in files
    assert "sasl_auth_enable = yes" not in files["main.cf"].text
    assert "smtp_tls_wrappermode = yes" in files["main.cf"].text
