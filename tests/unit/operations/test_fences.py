"""A fence is asked whether its node is on before it is set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.cluster import keys
from appliance.cluster.decided import FenceCheck, FenceProblem, FenceSpec
from appliance.cluster.names import NodeName
from appliance.coordination.store import Record
from appliance.fencing.agent import FenceFailed
from appliance.operations import fences
from appliance.operations.fences import FenceAnswer, FenceUnfit
from tests.unit.operations.test_overview import A, Records


class Store:
    """What `Records` hold."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def list(self, prefix: str) -> tuple[list[Record], int]:
        return list(self._records.all.values()), 1000

    def get(self, key: str) -> Record | None:
        return self._records.all.get(key)


def ask(folder: Path, body: str, records: Records | None = None) -> FenceAnswer:
    program = folder / "fence_test"
    program.write_text(f"#!/bin/sh\ncat >{folder}/given\n{body}\n")
    program.chmod(0o755)
    store: Any = Store(records or Records())
    spec = FenceSpec(node=A, agent="fence_test", parameters={"plug": "7"}, timeout=1.0)
    return fences.ask(store, spec, {"password": "s3cret"}, (str(folder),))


def test_a_fence_that_says_on_is_fit(tmp_path: Path) -> None:
    assert ask(tmp_path, "echo Status: ON") == FenceAnswer(on=True, said="Status: ON")
    assert (tmp_path / "given").read_text().split() == ["plug=7", "password=s3cret", "action=status"]


def test_a_fence_that_says_off_of_a_node_that_is_alive_is_refused_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(FenceUnfit, match="Status: OFF") as refused:
        ask(tmp_path, "echo Status: OFF; exit 2")
    assert refused.value.key == "node-fence-reads-off"


def test_a_node_that_is_off_may_read_off(tmp_path: Path) -> None:
    assert not ask(tmp_path, "exit 2", Records().without(keys.session(A))).on


@pytest.mark.parametrize("body", ["echo s3cret is wrong; exit 1", "exec sleep 60"])
def test_a_fence_without_an_answer_is_refused_without_its_secrets(tmp_path: Path, body: str) -> None:
    with pytest.raises(FenceUnfit) as refused:
        ask(tmp_path, body)
    assert refused.value.key == "node-fence-no-answer"
    assert "s3cret" not in str(refused.value)


def test_a_program_that_is_not_installed_is_named(tmp_path: Path) -> None:
    store: Any = Store(Records())
    with pytest.raises(FenceFailed, match="fence_nowhere"):
        fences.ask(store, FenceSpec(node=A, agent="fence_nowhere"), {}, (str(tmp_path),))


def test_a_fence_that_missed_is_known_until_it_is_set_anew() -> None:
    records = Records()
    store: Any = Store(records)
    assert not fences.misses(store, A)
    revision = records.all[keys.fence_spec(A)].mod_revision
    records.put(keys.fence_check(A), FenceCheck(node=NodeName("a"), spec=revision, problem=FenceProblem.MISSES))
    assert fences.misses(store, A)
    records.put(keys.fence_spec(A), FenceSpec(node=A, agent="fence_lab"))
    assert not fences.misses(store, A)


def test_a_node_that_reads_off_is_cut_off_for_certain_once_it_renewed_nothing_for_long_enough() -> None:
    records = Records()
    store: Any = Store(records)
    session = records.all[keys.session(A)]
    quiet = fences.Quiet(store, A, session.create_revision)
    assert not quiet.certain(10.0)
    records.all[keys.session(A)] = replace(session, mod_revision=999)
    assert not quiet.certain(12.9)
    assert not quiet.certain(15.0)
    assert quiet.certain(16.0)
    assert fences.Quiet(store, A, session.create_revision - 1).certain(10.0)  # it has another session
