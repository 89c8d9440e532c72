"""The edge of a node: where it is, what it is told of groups, and what groups are told of edges."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.cluster import keys
from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import EngineName, GroupName, InstanceId, NodeName
from appliance.coordination.store import Record
from appliance.engines import topology
from appliance.engines.base import Engine, RenderContext
from appliance.engines.catalogue import engine_of
from appliance.engines.dovecot.edge import DovecotEdge
from appliance.engines.dovecot.engine import Dovecot
from appliance.engines.postfix.engine import Postfix
from appliance.settings.layers import engine_settings
from nodeagent.agent import desired

SERVICES = (EngineName("dovecot"), EngineName("postfix"))
ALL = frozenset(Role) - {Role.WITNESS}


def node(name: str = "one", address: str | None = "10.0.0.1", roles: frozenset[Role] = ALL) -> Node:
    return Node(name=NodeName(name), roles=roles, address=ip_address(address) if address else None)


def group(name: str, *addresses: str, candidates: tuple[str, ...] = ()) -> ServiceGroup:
    return ServiceGroup(
        name=GroupName(name),
        services=SERVICES,
        addresses=tuple(map(ip_address, addresses)),
        candidates=tuple(map(NodeName, candidates)),
    )


MAIL = group("mail", "10.0.0.100")
BARE = group("bare", candidates=("one",))


@pytest.mark.parametrize(
    ("on", "groups", "has_one"),
    [
        pytest.param(node(), (MAIL,), True, id="beside a group with an address"),
        pytest.param(node(roles=frozenset({Role.EDGE})), (MAIL,), True, id="edge alone"),
        pytest.param(node(roles=ALL - {Role.EDGE}), (MAIL,), False, id="another role"),
        pytest.param(node(address=None), (MAIL,), False, id="a server alone"),
        pytest.param(node(), (), False, id="no group"),
        pytest.param(node(), (BARE,), False, id="a group on every address, here"),
        pytest.param(node("two"), (BARE,), False, id="a group on every address, elsewhere, alone"),
        pytest.param(node(), (MAIL, BARE), False, id="both want the ports"),
        pytest.param(node("two"), (MAIL, BARE), True, id="the other one never comes here"),
    ],
)
def test_a_node_has_an_edge_where_it_has_the_role_and_the_ports_are_free(
    on: Node, groups: tuple[ServiceGroup, ...], has_one: bool
) -> None:
    local = desired.local(on, groups)
    assert (topology.EDGE in local.instances) is has_one
    assert local.addresses == ((on.address,) if has_one else ())


def test_an_edge_listens_at_other_addresses_of_its_node_where_that_is_said() -> None:
    chosen = ip_address("203.0.113.11")
    assert desired.local(node(), (MAIL,), (chosen,)).addresses == (chosen,)
    (of_group,), own = MAIL.addresses, ip_address("10.0.0.1")
    assert desired.local(node(), (MAIL,), (of_group, chosen)).addresses == (chosen,)
    assert desired.local(node(), (MAIL,), (of_group,)).addresses == (own,)


def files(
    engine: Engine,
    mine: ServiceGroup,
    *groups: ServiceGroup,
    nodes: tuple[Node, ...],
    settings: tuple[Record, ...] = (),
) -> dict[str, str]:
    name = engine.facts.name
    context = RenderContext(
        InstanceId(name, mine.name),
        mine,
        nodes[0],
        "mail.example.com",
        engine_settings(settings, nodes[0].name, mine.name),
        nodes={each.name: each for each in nodes},
        groups={each.name: each for each in groups},
    )
    return {name: file.text for name, file in engine.render(context).items()}


def test_the_edge_of_a_node_is_run_in_its_own_way() -> None:
    assert isinstance(engine_of(topology.EDGE), DovecotEdge)
    assert isinstance(engine_of(InstanceId(EngineName("dovecot"), GroupName("mail"))), Dovecot)


def test_an_edge_passes_on_to_every_group_from_the_nodes_own_address() -> None:
    groups = (
        MAIL,
        group("two", "fd00::2", "10.0.0.102"),
        group("three", "fd00::3"),
        group("none", candidates=("else",)),
    )
    edge = files(DovecotEdge(), desired.local(node(), groups), *groups, nodes=(node(),))
    lines = dict(line.split(":::::::") for line in edge["groups.passwd"].splitlines())
    fields = {name: dict(each.split("=", 1) for each in text.split()) for name, text in lines.items()}
    assert {name: found["hostip"] for name, found in fields.items() if "/" not in name} == {
        "mail": "10.0.0.100",
        "two": "10.0.0.102",
        "three": "fd00::3",
    }
    assert [fields[name].get("source_ip") for name in ("mail", "two", "three")] == ["10.0.0.1", "10.0.0.1", None]
    assert fields["submission/mail"]["port"] == str(topology.FROM_EDGE)
    assert all(found["starttls"] == "yes" for found in fields.values())
    assert "listen = 10.0.0.1\n" in edge["dovecot.conf"]


def test_a_new_group_interrupts_nobody_at_an_edge() -> None:
    engine, mine = DovecotEdge(), desired.local(node(), (MAIL,))
    before = files(engine, mine, MAIL, nodes=(node(),))
    after = files(engine, mine, MAIL, group("two", "10.0.0.102"), nodes=(node(),))
    assert before["dovecot.conf"] == after["dovecot.conf"]
    assert before["groups.passwd"] != after["groups.passwd"]


@pytest.mark.parametrize(
    ("chosen", "offered"),
    [
        pytest.param('["scram-sha-256", "plain"]', "plain", id="one of them"),
        pytest.param('["scram-sha-256"]', "plain", id="none of them"),
        pytest.param('["plain", "login"]', "plain login", id="both"),
    ],
)
def test_an_edge_offers_only_what_tells_it_the_password(chosen: str, offered: str) -> None:
    record = Record(keys.setting("system", "-", "auth.mechanisms"), chosen, 1, 1)
    edge = files(DovecotEdge(), desired.local(node(), (MAIL,)), MAIL, nodes=(node(),), settings=(record,))
    assert f"auth_mechanisms = {offered}\n" in edge["dovecot.conf"]


def test_groups_believe_edges_about_clients_and_show_them_who_they_are(tmp_path: Path) -> None:
    nodes = (node(), node("two", "10.0.0.2", frozenset({Role.EDGE})), node("three", "10.0.0.3", ALL - {Role.EDGE}))
    dovecot = files(Dovecot(tmp_path / "probe"), MAIL, MAIL, nodes=nodes)["dovecot.conf"]
    assert "login_trusted_networks = 10.0.0.1 10.0.0.2\n" in dovecot
    assert "local_name mail.posthouse.internal {" in dovecot
    assert "login_proxy_max_reconnects" not in dovecot
    postfix = files(Postfix(), MAIL, MAIL, nodes=nodes)["master.cf"]
    assert "smtpd_authorized_xclient_hosts = 10.0.0.1/32, 10.0.0.2/32 }" in postfix
    assert postfix.count("smtpd_authorized_xclient_hosts") == 1
    assert postfix.count("smtpd_command_filter = pcre:") == 1


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        # as Dovecot 2.3.19 says it
        ("XCLIENT HELO=x PROTO=ESMTP PORT=77 ADDR=192.0.2.9", "XCLIENT HELO=x PROTO=ESMTP PORT=77 ADDR=192.0.2.9"),
        ("XCLIENT HELO=x PROTO=ESMTP ADDR=2001:db8::7", "XCLIENT HELO=x PROTO=ESMTP ADDR=IPV6:2001:db8::7"),
        ("XCLIENT ADDR=192.0.2.9 PORT=77", "XCLIENT ADDR=192.0.2.9 PORT=77"),
        ("XCLIENT ADDR=IPV6:2001:db8::7", "XCLIENT ADDR=IPV6:2001:db8::7"),
        ("XCLIENT HELO=x LOGIN=boss@example.org PORT=77 ADDR=192.0.2.9", "XCLIENT"),
        ("XCLIENT LOGIN=boss@example.org", "XCLIENT"),
        ("xclient addr=192.0.2.9 login=boss@example.org", "XCLIENT"),
        ("  XCLIENT LOGIN=boss@example.org", "XCLIENT"),
        ('"XCLIENT" LOGIN=boss@example.org', "XCLIENT"),
        ("MAIL FROM:<xclient@example.org>", None),
        ("QUIT", None),
    ],
)
def test_an_edge_may_tell_who_the_client_is_and_not_who_has_signed_in(said: str, heard: str | None) -> None:
    table = files(Postfix(), MAIL, MAIL, nodes=(node(),))["xclient.pcre"]
    lines = [line for line in table.splitlines() if not line.startswith("#")]
    others = re.fullmatch(r"if !/(.*)/", lines[0])
    assert others is not None
    assert lines[-1] == "endif"
    if re.search(others[1], said, re.IGNORECASE):
        assert heard is None
        return
    rules = [rule for line in lines[1:-1] if (rule := re.fullmatch(r"/(.*)/ (.*)", line)) is not None]
    match, text = next((match, rule[2]) for rule in rules if (match := re.search(rule[1], said, re.IGNORECASE)))
    assert match.expand(re.sub(r"\$(\d)", r"\\\1", text)) == heard


def test_a_server_alone_knows_no_edge(tmp_path: Path) -> None:
    alone = (node(address=None),)
    assert "trusted" not in files(Dovecot(tmp_path / "probe"), MAIL, MAIL, nodes=alone)["dovecot.conf"]
    assert str(topology.FROM_EDGE) not in files(Postfix(), MAIL, MAIL, nodes=alone)["master.cf"]
