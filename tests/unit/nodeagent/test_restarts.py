"""The ledger of restarts that were carried out."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cluster.names import EngineName, GroupName, InstanceId
from nodeagent.agent import restarts

POSTFIX = InstanceId(EngineName("postfix"), GroupName("mail"))


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "restarts.json"
    monkeypatch.setattr(restarts, "LEDGER", file)
    return file


def test_a_request_is_due_once_also_after_the_store_came_back_from_a_backup() -> None:
    book = restarts.RestartLedger()
    assert not book.is_due(POSTFIX, None)
    assert book.is_due(POSTFIX, 5)
    book.done(POSTFIX, 5)
    again = restarts.RestartLedger()
    assert not again.is_due(POSTFIX, 5)
    assert not again.is_due(POSTFIX, None), "no request in the store is no request"
    assert again.is_due(POSTFIX, 3), "the backup's counter was 2, and somebody asked"
    again.done(POSTFIX, 3)
    assert not again.is_due(POSTFIX, 3)


@pytest.mark.parametrize("text", ["[1]", "7", "{torn", "[" * 100_000])
def test_a_broken_ledger_is_an_empty_one(ledger: Path, text: str) -> None:
    ledger.write_text(text)
    assert restarts.RestartLedger().is_due(POSTFIX, 1)
