"""A broken node.yaml or a deeply nested value is one clear line, never a traceback."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from appliance import node_file, paths
from appliance.errors import BadInput
from appliance.node_file import NodeFileRefused
from appliance.settings.registry import PARAMETERS
from nodeagent.identity import identity

DEEP = "[" * 100_000


@pytest.mark.parametrize("text", ["name: [", "- 1", "name: mail1", pytest.param(DEEP, id="deep"), None])
def test_a_broken_node_file_ends_the_daemon_with_one_line(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "node.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(paths, "NODE_FILE", file)
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as ended:
        identity(logging.getLogger("posthouse.agent"))
    assert ended.value.code == os.EX_CONFIG
    (record,) = caplog.records
    assert str(file) in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_deeply_nested_value_is_refused() -> None:
    with pytest.raises(NodeFileRefused):
        node_file.parse(f"name: {DEEP}")
    with pytest.raises(BadInput):
        PARAMETERS["agent.probe_interval"].load(DEEP)
