"""Servers become a cluster: who gets in, who does not, and what is there when one is lost."""

from __future__ import annotations

import imaplib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import ldap3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.cluster import keys
from appliance.cluster.names import NodeName, Seconds
from appliance.coordination.access import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.store import StoreUnavailable
from appliance.installation import accounts, joining
from appliance.installation.join_messages import (
    CertifyAnswer,
    CertifyRequest,
    JoinAnswer,
    JoinRequest,
    Refused,
    Ticket,
)
from appliance.pki import requests
from appliance.pki.authority import key_pem
from tests.cluster.conftest import DOMAIN, PASSWORD
from tests.lab import Lab, Node
from tests.lab.appliance import create_mailbox, token, wait_healthy

Trio = tuple[Node, Node, Node]
SOCKET = "ldapi://%2Frun%2Fposthouse%2Flocal%2Fslapd%2Fldapi"


def replica_has(node: Node, address: str) -> bool:
    """Whether the node's own replica has the mailbox."""
    words = ("-LLL", "-Q", "-Y", "EXTERNAL", "-H", SOCKET, "-b", "ou=domains,o=posthouse", f"mail={address}", "dn")
    said = node.run("ldapsearch", *words, check=False)
    return said.returncode == 0 and "dn:" in said.stdout


def voters(node: Node) -> list[str]:
    """The store's endpoints as node.yaml has them."""
    lines = node.run("cat", "/etc/posthouse/node.yaml").stdout.splitlines()
    return sorted(line.strip("- ") for line in lines if ":2379" in line)


def knows(node: Node, expected: list[str]) -> bool:
    return voters(node) == expected


def test_every_node_knows_the_three_voters_and_holds_the_directory(three_nodes: Trio) -> None:
    expected = sorted(f"https://{node.address}:2379" for node in three_nodes)
    for node in three_nodes:
        node.wait_until("knows the voters", partial(knows, node, expected))
        node.wait_until("has what was before", partial(replica_has, node, f"first@{DOMAIN}"))
        assert node.active("posthouse-controller.service")
        assert node.active("posthouse-join.service")


def test_engines_of_another_node_are_listed_stopped_and_started_from_here(three_nodes: Trio) -> None:
    here, there, _ = three_nodes

    def row() -> dict[str, object]:
        said = here.run("posthouse", "service", "list", "--node", there.name, "--json").stdout
        rows: list[dict[str, object]] = json.loads(said)
        return next(each for each in rows if each["instance"] == "slapd@local")

    for command, state in (("restart", "running"), ("stop", "stopped"), ("start", "running")):
        before = row()
        here.run("posthouse", "service", command, "slapd@local", "--node", there.name, timeout=90)
        assert row()["state"] == state
        assert there.active("posthouse-slapd@local.service") == (state == "running")
        assert (row()["since"] != before["since"]) or state == "stopped"
    assert here.run("posthouse", "service", "list", "--node", "nobody", check=False).returncode == 3


def test_a_mailbox_made_anywhere_is_everywhere(three_nodes: Trio) -> None:
    for number, maker in enumerate(three_nodes):
        address = f"made{number}@{DOMAIN}"
        create_mailbox(maker, address, PASSWORD)
        for node in three_nodes:
            node.wait_until(f"has {address}", partial(replica_has, node, address), every=0.05)


@pytest.fixture(scope="module")
def fourth(lab: Lab) -> Iterator[Node]:
    """A server on which nothing was set up."""
    made = lab.node("four").boot()
    try:
        yield made
    finally:
        lab.remove_node(made)


def join_words(ticket: str, node: Node) -> tuple[str, ...]:
    return ("posthouse", "cluster", "join", "--token", ticket, "--hostname", node.hostname)


def refused(node: Node, ticket: str) -> str:
    """What the server is told; it is left as it was."""
    said = node.run(*join_words(ticket, node), check=False, timeout=120)
    assert said.returncode not in (0, 130), said
    assert "Traceback" not in said.stderr
    assert node.run("test", "-e", "/etc/posthouse/node.yaml", check=False).returncode
    return said.stderr


def fresh_request(ticket: Ticket, **fields: Any) -> JoinRequest:
    """What a server of this release would send; `fields` differ."""
    users, groups = accounts.wanted_numbers()
    key = key_pem(ec.generate_private_key(ec.SECP256R1()))
    known: dict[str, Any] = {
        "token": ticket.token, "name": "other", "hostname": "other.posthouse.test", "address": "10.57.0.77",
        "machine_id": "7" * 32, "release": "0.1.0", "now": time.time(), "users": users, "groups": groups,
        "requests": {"node": requests.request(key)},
    }  # fmt: skip
    return JoinRequest.model_validate({**known, **fields})


def test_a_server_that_does_not_fit_is_refused_with_the_reason(
    three_nodes: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, other, _ = three_nodes
    ticket = Ticket.read(token(member))
    context = joining.trust(joining.authority_of(ticket))
    users, _ = accounts.wanted_numbers()
    machine_id = other.run("cat", "/etc/machine-id").stdout.strip()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"release": "0.3.0"}, "join-release"),
        ({"users": {**users, "vmail": 1000}}, "join-uid"),
        ({"name": "two"}, "join-name-taken"),
        ({"address": other.address}, "join-address-taken"),
        ({"machine_id": machine_id}, "join-machine-taken"),
        ({"token": ticket.token[:-1]}, "join-token-refused"),
        ({"requests": {}}, "join-bad-request"),
    ]
    for fields, key in cases:
        with pytest.raises(Refused) as caught:
            joining.ask([ip_address(member.address)], fresh_request(ticket, **fields), JoinAnswer, context)
        assert caught.value.key == key
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1.5)
    with pytest.raises(Refused) as caught:
        joining.ask([ip_address(member.address)], fresh_request(ticket), JoinAnswer, context)
    assert caught.value.key == "join-clock"


def test_a_token_that_is_expired_torn_or_of_another_cluster_lets_nobody_in(three_nodes: Trio, fourth: Node) -> None:
    member = three_nodes[0]
    short = member.run("posthouse", "cluster", "token", "--lifetime", "1s").stdout.strip()
    made_at = time.monotonic()
    fourth.wait_until("the token has expired", lambda: time.monotonic() > made_at + 1.5)
    assert "expired" in refused(fourth, short)
    ticket = Ticket.read(token(member))
    impostor = ticket.model_copy(update={"authority": "0" * 64})
    assert "authority" in refused(fourth, impostor.text())
    assert "not whole" in refused(fourth, ticket.text()[:-9])


def test_a_server_on_which_a_fixed_number_is_taken_is_refused_before_it_asks(three_nodes: Trio, fourth: Node) -> None:
    fourth.run("usermod", "--uid", "4242", "vmail")
    fourth.run("useradd", "--uid", "57143", "--no-create-home", "intruder")
    try:
        assert "57143" in refused(fourth, token(three_nodes[0]))
    finally:
        fourth.run("userdel", "intruder")


def test_a_join_that_was_killed_half_way_is_completed_with_the_same_token(three_nodes: Trio, fourth: Node) -> None:
    ticket = token(three_nodes[0], "store,edge")
    running = fourth.popen(*join_words(ticket, fourth))
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if "place in the cluster" in line:
                break
    finally:
        fourth.run("pkill", "--signal", "KILL", "--full", "posthouse cluster join", check=False)
        running.communicate(timeout=10)
    fourth.run(*join_words(ticket, fourth), timeout=180)
    fourth.run(*join_words(ticket, fourth), timeout=180)
    assert fourth.run("test", "-e", "/etc/posthouse/pki/joining", check=False).returncode
    assert fourth.run("test", "-e", "/etc/posthouse/pki/ca.key", check=False).returncode, "no control node"
    fourth.wait_until("holds the directory", partial(replica_has, fourth, f"first@{DOMAIN}"))
    assert not fourth.active("posthouse-etcd@local.service")
    wait_reported(fourth)
    used = Ticket.read(ticket)
    context = joining.trust(joining.authority_of(used))
    with pytest.raises(Refused) as caught:
        joining.ask(used.addresses, fresh_request(used), JoinAnswer, context)
    assert caught.value.key == "join-token-refused", "another server with the same token"


def wait_reported(node: Node) -> None:
    """The node reports itself well in the store."""

    def well() -> bool:
        said = node.run("posthouse", "status", "--json", check=False).stdout
        return bool(json.loads(said)["healthy"]) if said.strip() else False

    node.wait_until("reports itself well", well, timeout=60, every=0.5)


#: Runs on a node: what its certificate lets it do in the store.
TRY = """
from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName
from appliance.coordination import connect, join_tokens
from appliance.coordination.store import Field, Guard, Put, StoreUnavailable
def may(call):
    try:
        call()
        return True
    except StoreUnavailable as error:
        assert "permission denied" in str(error), error
        return False
def attempt(key):
    # It is never carried out: may it be asked for?
    store.transact([Guard(key, Field.MOD_REVISION, 1)], [Put(key, "{}")])
with connect() as store:
    print([
        may(lambda: store.list(keys.DESIRED)),
        may(lambda: store.list(keys.OWNERS)),
        may(lambda: store.put(keys.group(GroupName("stolen")), "{}")),
        may(lambda: store.put(keys.DIRECTORY_WRITER, "four")),
        may(lambda: store.list(join_tokens.FOLDER)),
        may(lambda: store.put(keys.status(NodeName("one")), "{}")),
        may(lambda: attempt(keys.session(NodeName("one")))),
        may(lambda: attempt(keys.run(GroupName("mail"), "purge", "1"))),
    ])
"""


def test_a_node_without_control_reads_what_it_needs_and_decides_nothing(fourth: Node) -> None:
    said = fourth.run("/opt/posthouse/bin/python3", "-I", "-c", TRY).stdout.strip()
    assert said == str([True, True, False, False, False, False, False, True])


#: Runs on a control node: what a node of an older release was given.
AS_BEFORE = """
from appliance.cluster import keys
from appliance.coordination.access import Keys
from appliance.coordination.etcd_roles import EtcdRoles, Permission
from appliance.node_file import read
roles = EtcdRoles(read().store.endpoints, Keys.read())
had = roles._granted("node-four")
roles._fit("node-four", had - {Permission.below(keys.RUNS, write=True)}, had)
"""


def test_a_node_that_joined_under_an_older_release_gets_what_this_one_gives(three_nodes: Trio, fourth: Node) -> None:
    python = ("/opt/posthouse/bin/python3", "-I")
    three_nodes[0].run(*python, "-c", AS_BEFORE)
    assert fourth.run(*python, "-c", TRY).stdout.strip().endswith("False]")
    three_nodes[1].run("systemctl", "restart", "posthouse-agent.service")
    fourth.wait_until("may again", lambda: fourth.run(*python, "-c", TRY).stdout.strip().endswith("True]"))


def test_a_node_without_the_authority_s_key_gets_new_certificates_from_a_control_node(fourth: Node) -> None:
    pki = "/etc/posthouse/pki"
    before = fourth.run("cat", f"{pki}/slapd.crt").stdout
    fourth.run("rm", "-r", f"{pki}/slapd.d")
    said = fourth.run("/opt/posthouse/bin/python3", "-I", "-m", "appliance.pki.renew").stdout
    assert json.loads(said)["renewed"] == ["slapd"]
    assert fourth.run("cat", f"{pki}/slapd.crt").stdout != before


def reads_the_store(node: Node) -> bool:
    """Whether the node still is a user of the store."""
    words = "from appliance.cluster import keys; from appliance.coordination import connect; connect().get(keys.TIMING)"
    return node.run("/opt/posthouse/bin/python3", "-I", "-c", words, check=False).returncode == 0


def test_a_removed_node_opens_nothing_any_more(three_nodes: Trio, fourth: Node) -> None:
    member = three_nodes[0]
    alive = member.run("posthouse", "cluster", "remove", "four", "--yes", check=False)
    assert "posthouse node drain four" in alive.stderr, "it might be given a group"
    assert reads_the_store(fourth), "nothing was changed"
    leave(member, "four")
    assert not reads_the_store(fourth)
    assert '"four"' not in member.run("posthouse", "node", "list", "--json").stdout
    assert member.run("posthouse", "cluster", "remove", "one", "--yes", check=False).returncode, "not itself"
    refusal = three_nodes[1].run("posthouse", "cluster", "remove", "one", "--yes", check=False)
    assert refusal.returncode != 0
    assert "mail" in refusal.stderr, "it owns a group"


def leave(member: Node, name: str) -> None:
    """Have a server that lives leave the cluster."""
    member.run("posthouse", "node", "drain", name, timeout=90)
    member.run("posthouse", "cluster", "remove", name, "--yes")


def old_pairs(node: Node, folder: Path) -> Path:
    """A copy of the server's keys, as whoever has its disk has them."""
    for name in ("node.crt", "node.key", "slapd.crt", "slapd.key", "ca.crt"):
        (folder / name).write_text(node.run("cat", f"/etc/posthouse/pki/{name}").stdout)
    return folder


def opens_store(address: str, pki: Path) -> bool:
    with EtcdStore([f"https://{address}:2379"], Keys.read(pki), deadline=Seconds(3)) as store:
        try:
            return store.get(keys.node(NodeName("four"))) is not None
        except StoreUnavailable:
            return False


def opens_join_service(address: str, pki: Path) -> bool:
    context = joining.trust((pki / "ca.crt").read_bytes())
    context.load_cert_chain(pki / "node.crt", pki / "node.key")
    request = CertifyRequest(requests={"node": requests.request(requests.new_key())})
    try:
        return bool(joining.ask([ip_address(address)], request, CertifyAnswer, context).certificates)
    except Refused as refusal:
        return refusal.key != "join-stranger"


def opens_agent(address: str, pki: Path) -> bool:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.check_hostname = False
    context.load_cert_chain(pki / "node.crt", pki / "node.key")
    try:
        with (
            socket.create_connection((address, 7391), timeout=5) as plain,
            context.wrap_socket(plain) as line,
        ):
            line.sendall(b"?\x01")
            return line.recv(2) == b"!\x01"
    except OSError:
        return False


def opens_directory(address: str, pki: Path) -> bool:
    tls = ldap3.Tls(
        local_private_key_file=str(pki / "slapd.key"), local_certificate_file=str(pki / "slapd.crt"),
        ca_certs_file=str(pki / "ca.crt"), validate=ssl.CERT_NONE,
    )  # fmt: skip
    server = ldap3.Server(address, port=7636, use_ssl=True, tls=tls, get_info=ldap3.NONE, connect_timeout=5)
    asked = ldap3.Connection(server, authentication=ldap3.SASL, sasl_mechanism=ldap3.EXTERNAL, sasl_credentials="",
                             receive_timeout=5)  # fmt: skip
    try:
        return bool(asked.bind() and asked.search("o=posthouse", "(objectClass=*)", ldap3.SUBTREE) and asked.entries)
    except ldap3.core.exceptions.LDAPException:
        return False
    finally:
        with suppress(ldap3.core.exceptions.LDAPException, OSError):
            asked.unbind()


DOORS = (opens_store, opens_join_service, opens_agent, opens_directory)


def test_what_a_removed_server_has_opens_nothing_when_another_one_gets_its_name(
    three_nodes: Trio, fourth: Node, lab: Lab, tmp_path: Path
) -> None:
    member = three_nodes[0]
    old = old_pairs(fourth, tmp_path)
    successor = lab.node("six").boot()
    try:
        words = join_words(token(member, "store,edge"), successor)
        successor.run(*words, "--name", "four", timeout=180)
        wait_reported(successor)
        (tmp_path / "new").mkdir()
        new = old_pairs(successor, tmp_path / "new")
        member.wait_until("the directory knows it", lambda: opens_directory(member.address, new))
        for door in DOORS:
            assert door(member.address, new), f"{door.__name__}: the new one's keys"
            assert not door(member.address, old), f"{door.__name__}: the old one's keys"
    finally:
        leave(member, "four")
        lab.remove_node(successor)


def test_a_witness_votes_and_runs_nothing_else(three_nodes: Trio, lab: Lab) -> None:
    member = three_nodes[0]
    witness = lab.node("five").boot()
    try:
        witness.run(*join_words(token(member, "witness"), witness), timeout=180)
        wait_reported(witness)
        running = witness.run("systemctl", "list-units", "--state=running", "--plain", "--no-legend", "posthouse-*")
        units = {line.split()[0] for line in running.stdout.splitlines()}
        assert units == {"posthouse-agent.service", "posthouse-keeper.service", "posthouse-etcd@local.service"}
        member.wait_until("four vote", lambda: f"https://{witness.address}:2379" in voters(member))
        leave(member, "five")
        member.wait_until("three vote", lambda: len(voters(member)) == 3)
    finally:
        lab.remove_node(witness)


def test_a_lost_node_costs_neither_the_store_nor_the_directory(three_nodes: Trio) -> None:
    lost, maker, other = three_nodes
    lost.kill()
    address = f"without-one@{DOMAIN}"
    create_mailbox(maker, address, PASSWORD)
    assert replica_has(maker, address)
    other.wait_until("has it", lambda: replica_has(other, address), every=0.05)
    lost.boot()
    lost.wait_until("caught up", lambda: replica_has(lost, address), timeout=60)
    wait_healthy(lost, timeout=90)


def may_log_in(node: Node, address: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with imaplib.IMAP4_SSL(node.address, ssl_context=context, timeout=10) as session:
            session.login(address, PASSWORD)
    except (imaplib.IMAP4.error, OSError):
        return False
    return True


def test_a_mailbox_disabled_on_another_node_is_locked_out_at_once(three_nodes: Trio) -> None:
    serving, _, elsewhere = three_nodes
    address = f"first@{DOMAIN}"
    assert may_log_in(serving, address)
    elsewhere.run("posthouse", "mailbox", "disable", address)
    serving.wait_until("locked out", lambda: not may_log_in(serving, address), timeout=5)
    elsewhere.run("posthouse", "mailbox", "enable", address)
    serving.wait_until("let in", lambda: may_log_in(serving, address), timeout=5)


def test_without_a_majority_nothing_is_written_and_what_is_there_is_read(three_nodes: Trio) -> None:
    left, *lost = three_nodes
    for node in lost:
        node.kill()
    made = left.run("posthouse", "mailbox", "create", f"alone@{DOMAIN}", "--password-stdin", input=f"{PASSWORD}\n",
                    check=False)  # fmt: skip
    assert made.returncode == 75, made
    assert f"first@{DOMAIN}" in left.run("posthouse", "mailbox", "list").stdout
    for node in lost:
        node.launch()
    for node in lost:
        node.wait_booted()

    def works() -> bool:
        words = ("posthouse", "mailbox", "create", f"again@{DOMAIN}", "--password-stdin")
        return left.run(*words, input=f"{PASSWORD}\n", check=False).returncode in (0, 4)

    left.wait_until("takes changes again", works, timeout=60, every=1)
    assert not replica_has(left, f"alone@{DOMAIN}")


def test_the_last_server_goes_on_alone_when_the_operator_says_that_the_others_are_off(three_nodes: Trio) -> None:
    left, *lost = three_nodes
    refusal = left.run("posthouse", "cluster", "recover", "--off", "two", "--off", "three", check=False)
    assert refusal.returncode != 0, "the store has its majority"
    for node in lost:
        node.kill()
    assert left.run("posthouse", "cluster", "recover", "--off", "two", check=False, timeout=120).returncode == 2
    left.run("posthouse", "cluster", "recover", "--off", "two", "--off", "three", timeout=180)
    address = f"after@{DOMAIN}"
    made = left.run("posthouse", "mailbox", "create", address, "--password-stdin", input=f"{PASSWORD}\n")
    assert "not on a second server" in made.stderr
    assert replica_has(left, address)
    left.wait_until("asks its own member only", lambda: voters(left) == [f"https://{left.address}:2379"])
    for name in ("two", "three"):
        left.run("posthouse", "cluster", "remove", name, "--yes")
    wait_healthy(left)
