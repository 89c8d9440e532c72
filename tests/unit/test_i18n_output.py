"""The one printer of every command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from click.testing import CliRunner

from appliance.cli.output import Column, details, emit, json_option, printable, table, width
from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from appliance.i18n import speaking


@dataclass(frozen=True)
class Row:
    name: str
    size: int
    tags: frozenset[str] = frozenset()


COLUMNS = (
    Column("output-json", lambda row: row.name),
    Column("output-no", lambda row: row.size, right=True),
)


@click.command()
@json_option
def listing(as_json: bool) -> None:
    rows: Sequence[Row] = [Row("one", 1, frozenset({"b", "a"})), Row("二号", 22)]
    emit(rows, as_json, COLUMNS)


def test_json_holds_every_field_in_plain_types() -> None:
    printed = json.loads(CliRunner().invoke(listing, ["--json"]).output)
    assert printed == [{"name": "one", "size": 1, "tags": ["a", "b"]}, {"name": "二号", "size": 22, "tags": []}]


def test_a_table_aligns_chinese_names_by_terminal_cells() -> None:
    with speaking("zh-CN"):
        lines = table([Row("one", 1), Row("二号", 22)], COLUMNS)
    assert len({width(line) for line in lines}) == 1
    assert lines[1].endswith("   1")


def test_an_empty_table_says_so() -> None:
    with speaking("en"):
        assert table([], COLUMNS) == ["Nothing to show."]


def test_details_leave_out_what_is_unknown_and_align_the_rest() -> None:
    with speaking("en"):
        assert details([("a", 1), ("long", True), ("none", None)]) == ["a     1", "long  yes"]


def test_control_characters_cannot_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb\u202ec\n中") == "a\\x1b[31mb\\u202ec\\n中"


def test_models_dates_and_paths_become_json(capsys: object) -> None:
    @click.command()
    def command() -> None:
        node = Node(name=NodeName("n1"), roles=frozenset({Role.STORE}))
        emit({"node": node, "at": datetime(2024, 1, 2, tzinfo=UTC), "path": Path("/srv")}, True, COLUMNS)

    printed = json.loads(CliRunner().invoke(command).output)
    assert printed["node"]["roles"] == ["store"]
    assert printed["at"] == "2024-01-02T00:00:00+00:00"
    assert printed["path"] == "/srv"
