"""A client follows the store's members as node.yaml names them."""

from __future__ import annotations

from pathlib import Path

from appliance import node_file
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName
from appliance.coordination.connection import EndpointFile
from appliance.node_file import NodeFile, StoreAccess

ONE, TWO = ("https://10.0.0.1:2379",), ("https://10.0.0.1:2379", "https://10.0.0.2:2379")


def write(file: Path, endpoints: tuple[str, ...]) -> None:
    identity = NodeFile(
        name=NodeName("a"),
        hostname="a.example.org",
        roles=frozenset({Role.STORE}),
        store=StoreAccess(endpoints=endpoints),
    )
    node_file.write(identity, file)


def test_members_that_joined_before_the_client_was_made_are_known_too(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    write(file, TWO)
    follow = EndpointFile(file)  # made by who read the file when it named one member
    assert follow.news() == TWO
    assert follow.news() is None


def test_a_change_is_told_once_and_a_file_that_cannot_be_read_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    write(file, ONE)
    follow = EndpointFile(file)
    assert follow.news() == ONE
    file.write_text("store: {")
    assert follow.news() is None
    write(file, TWO)
    assert follow.news() == TWO
    file.unlink()
    assert follow.news() is None
