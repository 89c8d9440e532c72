"""What the mail engines know of other groups: nothing while there is none."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import EngineName, GroupName, InstanceId, NodeName
from appliance.engines.base import Engine, RenderContext
from appliance.engines.dovecot.engine import Dovecot
from appliance.engines.postfix.engine import Postfix
from appliance.settings.layers import engine_settings

NODE = Node(name=NodeName("one"), roles=frozenset({Role.STORE}))
SERVICES = (EngineName("dovecot"), EngineName("postfix"))
ADDRESSES = {"mail": "10.0.0.1", "two": "10.0.0.2", "three": "fd00::3"}


def group(name: str, *, services: tuple[EngineName, ...] = SERVICES, reachable: bool = True) -> ServiceGroup:
    addresses = (ip_address(ADDRESSES[name]),) if reachable else ()
    return ServiceGroup(name=GroupName(name), services=services, addresses=addresses)


def rendered(engine: Engine, *groups: ServiceGroup) -> dict[str, str]:
    """The files of the first of these groups."""
    mine = groups[0]
    context = RenderContext(
        InstanceId(engine.facts.name, mine.name),
        mine,
        NODE,
        "mail.example.com",
        engine_settings((), NODE.name, mine.name),
        groups={each.name: each for each in groups},
    )
    return {name: file.text for name, file in engine.render(context).items()}


@pytest.fixture
def engines(tmp_path: Path) -> tuple[Engine, Engine]:
    return Postfix(), Dovecot(tmp_path / "probe")


def test_a_group_alone_asks_nothing_about_groups(engines: tuple[Engine, Engine]) -> None:
    other = group("two", services=(EngineName("redis"),))
    for engine in engines:
        assert rendered(engine, group("mail"), other) == rendered(engine, group("mail"))
    files = rendered(engines[0], group("mail"))
    assert "transport_maps" not in files["main.cf"]
    assert "intake" not in files["master.cf"]
    assert not {"group.cf", "transports.pcre", "here.pcre", "quota.pcre"} & files.keys()
    assert "groups.passwd" not in rendered(engines[1], group("mail"))
    assert "lmtp_user_concurrency_limit" not in rendered(engines[1], group("mail"))["dovecot.conf"]


def test_mail_of_another_group_goes_to_its_intake_and_that_of_an_unknown_one_waits(
    engines: tuple[Engine, Engine],
) -> None:
    files = rendered(engines[0], group("mail"), group("two"), group("three"))
    assert files["transports.pcre"].splitlines() == [
        "/^mail$/ :",
        "/^three$/ intake:[fd00::3]:10026",
        "/^two$/ intake:[10.0.0.2]:10026",
        "/./ retry:4.3.5 The group of this mailbox cannot be reached yet",
    ]
    assert files["here.pcre"].startswith("!/^mail$/ 450 ")


def test_a_group_without_an_address_is_not_reached_but_known(engines: tuple[Engine, Engine]) -> None:
    files = rendered(engines[0], group("mail"), group("two", reachable=False))
    assert "intake:" not in files["transports.pcre"]
    assert "retry:" in files["transports.pcre"]
    assert rendered(engines[1], group("mail"), group("two", reachable=False))["groups.passwd"] == ""


def test_a_login_of_another_group_is_passed_on_inside_verified_tls(engines: tuple[Engine, Engine]) -> None:
    lines = rendered(engines[1], group("mail"), group("two"), group("three"))["groups.passwd"].splitlines()
    three, two = (line.partition(":::::::") for line in lines)
    assert (three[0], two[0]) == ("three", "two")
    fields = dict(field.split("=", 1) for field in two[2].split())
    assert fields["hostip"] == "10.0.0.2"
    assert (fields["proxy"], fields["starttls"], fields["host"]) == ("y", "yes", "mail.posthouse.internal")
