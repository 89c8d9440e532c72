"""The decision log on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from appliance.cli import cluster_join
from appliance.cli.cluster_status import event_line
from appliance.cluster.decided import ClusterEvent
from appliance.cluster.names import NodeName
from appliance.errors import BadInput


def test_what_a_node_wrote_commands_no_terminal_and_feigns_no_line() -> None:
    facts = {"detail": "\x1b]0;title\x07\n2026-01-01 forged\x9b2J"}
    by = NodeName("edge")
    event = ClusterEvent(at=datetime.now(UTC), by=by, part="a\x1b[2J", key="event-fence-unverified", facts=facts)
    line = event_line(event)
    assert not any(each in line for each in "\x1b\x07\n\x9b")
    assert "forged" in line


@pytest.mark.parametrize("lifetime", ["abc", "", "9" * 22 + "d"])
def test_a_tokens_lifetime_that_is_none_is_bad_input(lifetime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_join, "need_root", lambda: None)
    result = CliRunner().invoke(cluster_join.cluster_token, ["--lifetime", lifetime])
    assert isinstance(result.exception, BadInput)
