"""slapd's rendered configuration: who is let in, what is indexed, what a change asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, NodeName
from appliance.directory import schema
from appliance.engines.base import Change, RenderContext
from appliance.engines.slapd import Slapd, seed
from appliance.settings.registry import defaults

UIDS = {"root": 0, "posthouse": 57001, "dovecot": 104, "dovenull": 105, "postfix": 57025}


def context(**settings: Any) -> RenderContext:
    return RenderContext(
        instance=schema.SLAPD,
        group=ServiceGroup(name=LOCAL_GROUP),
        node=Node(name=NodeName("n1"), roles=frozenset({Role.DIRECTORY})),
        hostname="n1.example.com",
        settings={**defaults(), **settings},
    )


def configuration(uids: Mapping[str, int] = UIDS, settings: Mapping[str, Any] = MappingProxyType({})) -> str:
    return Slapd(uids.__getitem__).render(context(**settings))["slapd.conf"].text


def identity(text: str, uid: int, gid: int = 7) -> str | None:
    """Who slapd takes a peer for: the first authz-regexp that matches, as slapd.conf(5) says."""
    name = f"gidNumber={gid}+uidNumber={uid},cn=peercred,cn=external,cn=auth"
    for pattern, known in re.findall(r'^authz-regexp "(.*)" "(.*)"$', text, re.MULTILINE):
        if re.search(pattern, name):
            return str(known)
    return None


@pytest.mark.parametrize(
    ("uid", "who"),
    [
        (0, "cn=manager,o=posthouse"),
        (57001, "cn=manager,o=posthouse"),
        (104, "cn=dovecot,o=posthouse"),
        pytest.param(105, None, id="the login processes, which meet strangers"),
        (57025, "cn=postfix,o=posthouse"),
        (1000, None),
        (10, None),
        (1040, None),
        (65534, None),
    ],
)
def test_a_peer_is_who_its_uid_says(uid: int, who: str | None) -> None:
    assert identity(configuration(), uid) == who


def test_a_group_id_makes_nobody_a_manager() -> None:
    assert identity(configuration(), 1000, gid=0) is None


def test_accounts_that_the_node_lacks_are_left_out() -> None:
    text = configuration({"root": 0})
    assert identity(text, 0) == "cn=manager,o=posthouse"
    assert text.count("authz-regexp") == 1
    assert "uidNumber=()" not in text


def test_settings_and_paths_arrive_where_they_belong() -> None:
    text = configuration(settings={"directory.max_size": 1 << 30, "directory.threads": 32})
    assert "\nmaxsize 1073741824\n" in text
    assert "\nthreads 32\n" in text
    assert "\ndirectory /var/lib/posthouse/local/slapd\n" in text
    assert f"\ninclude {context().config}/posthouse.schema\n" in text


def test_nobody_signs_in_by_password_or_not_at_all() -> None:
    text = configuration()
    assert "\ndisallow bind_anon bind_simple\n" in text
    assert "\nrequire authc\n" in text
    assert "rootpw" not in text


def test_postfix_is_never_let_near_a_password() -> None:
    rules = re.split(r"^(?=access to )", configuration(), flags=re.MULTILINE)[1:]
    passwords = [rule for rule in rules if f"attrs={schema.PASSWORD}" in rule]
    assert len(passwords) == 1
    assert "postfix" not in passwords[0]
    assert schema.PASSWORD not in schema.ROUTING_ATTRIBUTES
    for rule in rules:
        assert re.search(r"by \* none\s*", rule), rule


def test_every_attribute_that_engines_look_up_by_is_indexed() -> None:
    indexed = {
        name: kinds
        for names, kinds in re.findall(r"^index ([A-Za-z,]+) (\S+)$", configuration(), re.MULTILINE)
        for name in names.split(",")
    }
    looked_up = (schema.MAIL, schema.LOGIN, schema.ASSOCIATED_DOMAIN, schema.DOMAIN_NAME, schema.TARGET)
    assert all("eq" in indexed[name] for name in looked_up)
    assert all("sub" in indexed[name] for name in (schema.MAIL, schema.DISPLAY_NAME))
    assert indexed["entryUUID"] == indexed["entryCSN"] == "eq"


def test_rendering_twice_gives_the_same_and_any_change_asks_for_a_restart() -> None:
    engine = Slapd(UIDS.__getitem__)
    old, same = engine.render(context()), engine.render(context())
    assert old == same
    assert engine.change(old, same) is Change.NONE
    assert engine.change(old, engine.render(context(**{"directory.threads": 5}))) is Change.RESTART


def test_every_name_in_code_stands_in_the_schema() -> None:
    text = schema.SCHEMA_FILE.read_text(encoding="ascii")
    defined = set(re.findall(r"NAME '([A-Za-z]+)'", text))
    named = {
        value
        for name, value in vars(schema).items()
        if name.isupper() and isinstance(value, str) and re.fullmatch(r"posthouse[A-Z][A-Za-z]+", value)
    }
    assert named == defined


def test_numbers_in_the_schema_are_never_used_twice() -> None:
    numbers = re.findall(r"\( (posthouse(?:Attribute|Class):\d+) ", schema.SCHEMA_FILE.read_text(encoding="ascii"))
    assert len(numbers) == len(set(numbers)) == 22


def test_the_first_entries_are_the_root_and_its_containers() -> None:
    names = re.findall(r"^dn: (.*)$", seed.tree(), re.MULTILINE)
    assert names == [schema.SUFFIX, *schema.CONTAINERS]


def test_folders_belong_to_slapd_alone() -> None:
    folders = {folder.path: folder for folder in Slapd(UIDS.__getitem__).directories(context())}
    database = folders[Path("/var/lib/posthouse/local/slapd")]
    assert (database.owner, database.mode) == ("openldap", 0o700)
    assert folders[context().run].mode & 0o005 == 0o005, "peers reach the socket"


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        (
            '=> mdb…\nslapadd: could not add entry dn="ou=x" (line=1): txn_aborted! MDB_KEYEXIST: Key/data (-30799)\n',
            "",
        ),
        ("MDB_KEYEXIST\nslapadd: MDB_KEYEXIST (-30799)\nslapadd: disk full\n", "slapadd: disk full"),
        ("no such module\n", "no such module"),
        ("", "?"),
    ],
)
def test_a_repeated_load_forgives_only_entries_that_exist(said: str, problems: str) -> None:
    assert seed.refusals(said) == problems


def member(name: str, number: int, *roles: Role) -> Node:
    return Node(name=NodeName(name), roles=frozenset(roles), address=ip_address(f"10.0.0.{number}"), number=number)


def among(me: Node, *others: Node) -> str:
    facts = replace(context(), node=me, nodes={node.name: node for node in (me, *others)})
    return Slapd(UIDS.__getitem__).render(facts)["slapd.conf"].text


ONE, TWO, THREE, FOUR = (member(f"n{n}", n, Role.DIRECTORY) for n in (1, 2, 3, 4))
STORE = member("n7", 7, Role.STORE)


def test_three_directory_nodes_follow_each_other_and_the_rest_follows_them() -> None:
    text = among(TWO, ONE, THREE, FOUR, STORE)
    assert re.findall(r"provider=(\S+)", text) == ["ldaps://10.0.0.1:7636", "ldaps://10.0.0.3:7636"]
    assert "\nserverID 2\n" in text
    assert "\nmultiprovider on\n" in text
    for reader in (FOUR, STORE):
        text = among(reader, *(node for node in (ONE, TWO, THREE, FOUR, STORE) if node is not reader))
        assert len(re.findall(r"^syncrepl ", text, re.MULTILINE)) == 3
        assert "multiprovider" not in text


def test_a_server_alone_has_nothing_of_other_servers() -> None:
    text = configuration()
    assert not re.search("syncrepl |TLS|serverID|cn=replica", text)
    assert Slapd(UIDS.__getitem__).render(context())["slapd.env"].text == "LISTEN=\n"


@pytest.mark.parametrize(
    ("name", "who"),
    [
        pytest.param("cn=n1", "cn=manager,o=posthouse", id="a-directory-node-administers"),
        pytest.param("cn=slapd.n7", "cn=replica,o=posthouse", id="slapd-of-a-node-reads"),
        pytest.param("cn=n7", None, id="a-store-node-does-not-administer"),
        pytest.param("cn=slapd.n9", None, id="slapd-of-nobody"),
        pytest.param("cn=slapdxn1", None, id="the-dot-is-a-dot"),
        pytest.param("cn=n1,ou=other", None, id="another-name-that-begins-so"),
    ],
)
def test_another_server_is_who_its_certificate_says(name: str, who: str | None) -> None:
    known = re.findall(r'^authz-regexp "(.*)" "(.*)"$', among(ONE, STORE), re.MULTILINE)
    assert next((identity for pattern, identity in known if re.search(pattern, name)), None) == who


def test_a_replica_reads_everything_and_writes_nothing() -> None:
    first = re.split(r"^(?=access to )", among(ONE, TWO).partition("database mdb")[2], flags=re.MULTILINE)[1]
    assert first.split("\n")[0] == 'access to * by dn.exact="cn=replica,o=posthouse" read by * break'


def test_only_a_server_that_begins_loads_the_first_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[Path] = []
    monkeypatch.setattr(seed, "prepare", lambda configuration, *_: seeded.append(configuration))
    Slapd().prepare(replace(context(), node=TWO))
    assert not seeded, "it would have a tree of its own beside the others'"
    Slapd().prepare(context())
    assert seeded
