"""node.yaml names the store's voting members, as the nodes' records say."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance import node_file
from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from nodeagent.agent import members

ME = NodeName("n2")
ALONE = "name: n2\nhostname: n2.example.com\nroles: [control]\n"
AMONG = ALONE + "address: 10.0.0.2\nstore: {endpoints: ['https://10.0.0.1:2379']}\n"


def known(**voters: bool) -> Mapping[NodeName, Node]:
    return {
        NodeName(name): Node(
            name=NodeName(name), roles=frozenset({Role.CONTROL}), address=ip_address(f"10.0.0.{name[1:]}"), voter=votes
        )
        for name, votes in voters.items()
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "node.yaml").write_text(AMONG)
    return tmp_path / "node.yaml"


def test_the_own_member_comes_first_and_a_learner_not_at_all(file: Path) -> None:
    assert members.follow(known(n1=True, n2=True, n3=False), ME, file)
    assert node_file.read(file).store.endpoints == ("https://10.0.0.2:2379", "https://10.0.0.1:2379")
    assert not members.follow(known(n1=True, n2=True, n3=False), ME, file), "nothing is new"


def test_a_server_alone_and_a_node_that_knows_of_no_voter_keep_what_they_have(file: Path) -> None:
    assert not members.follow(known(n1=False), ME, file)
    file.write_text(ALONE)
    assert not members.follow(known(n1=True), ME, file)
    assert file.read_text() == ALONE


def test_a_broken_file_is_left_to_the_operator(file: Path) -> None:
    file.write_text("name: [")
    assert not members.follow(known(n1=True), ME, file)
    assert file.read_text() == "name: ["
