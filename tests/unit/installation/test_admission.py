"""Who may join: every reason against it, told by its message key."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from appliance.errors import BadInput
from appliance.installation import accounts
from appliance.installation.admission import Here, refusals, releases_fit
from appliance.installation.join_messages import JoinRequest, Ticket

USERS, GROUPS = accounts.wanted_numbers()
HERE = Here(release="1.4.2", now=1000.0)
NODES = {
    NodeName("n1"): Node(
        name=NodeName("n1"), roles=frozenset({Role.CONTROL}), address=ip_address("10.0.0.1"), machine_id="1" * 32
    )
}


def request(**fields: Any) -> JoinRequest:
    known: dict[str, Any] = {
        "token": "t",
        "name": "n2",
        "hostname": "n2.example.com",
        "address": "10.0.0.2",
        "machine_id": "2" * 32,
        "release": "1.4.0",
        "now": 1000.2,
        "users": USERS,
        "groups": GROUPS,
        "requests": {},
    }
    return JoinRequest.model_validate({**known, **fields})


def keys(asked: JoinRequest, *, again: bool = False, roles: frozenset[Role] = frozenset({Role.STORE})) -> list[str]:
    return [refusal.key for refusal in refusals(asked, roles, NODES, HERE, again=again)]


def test_a_server_that_fits_is_let_in() -> None:
    assert keys(request()) == []


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        pytest.param({"release": "1.6.0"}, "join-release", id="two-minors-newer"),
        pytest.param({"release": "2.4.0"}, "join-release", id="another-major"),
        pytest.param({"release": "nightly"}, "join-release", id="no-release"),
        pytest.param({"users": {**USERS, "vmail": 1000}}, "join-uid", id="another-uid"),
        pytest.param({"users": {n: u for n, u in USERS.items() if n != "postfix"}}, "join-uid", id="no-such-user"),
        pytest.param({"groups": {**GROUPS, "postdrop": 105}}, "join-gid", id="another-gid"),
        pytest.param({"now": 1001.1}, "join-clock", id="clock-ahead"),
        pytest.param({"name": "root"}, "join-name-reserved", id="the-stores-own-user"),
        pytest.param({"hostname": "control.posthouse.internal"}, "join-name-reserved", id="a-control-nodes-name"),
        pytest.param({"hostname": "store.posthouse.internal"}, "join-name-reserved", id="the-stores-name"),
        pytest.param({"now": 998.0}, "join-clock", id="clock-behind"),
        pytest.param({"name": "n1"}, "join-name-taken", id="name"),
        pytest.param({"address": "10.0.0.1"}, "join-address-taken", id="address"),
        pytest.param({"machine_id": "1" * 32}, "join-machine-taken", id="copied-disk"),
        pytest.param({"address": "fd00::2"}, "join-address-family", id="address-family"),
    ],
)
def test_a_server_that_does_not_fit_is_refused_with_the_reason(fields: dict[str, Any], key: str) -> None:
    assert keys(request(**fields)) == [key]


def test_the_same_server_may_come_again_under_its_name() -> None:
    same = request(name="n1", address="10.0.0.1", machine_id="1" * 32)
    assert keys(same, again=True) == []
    assert keys(same) == ["join-name-taken", "join-address-taken"]


def test_releases_one_minor_apart_fit() -> None:
    assert releases_fit("0.1.0", "0.2.7")
    assert not releases_fit("0.1.0", "0.3.0")


def test_a_ticket_comes_back_from_its_text_and_a_torn_one_is_refused() -> None:
    ticket = Ticket(addresses=(ip_address("10.0.0.1"),), authority="a" * 64, token="x.y")
    assert Ticket.read(f" {ticket.text()}\n") == ticket
    for torn in (ticket.text()[:-5], ticket.text()[4:], "", "ph1.!!!"):
        with pytest.raises(BadInput):
            Ticket.read(torn)
