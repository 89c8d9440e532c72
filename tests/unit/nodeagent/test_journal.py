"""Which journal lines an operator is shown."""

from __future__ import annotations

import json

from nodeagent.agent.journal import tell


def entry(message: str, pid: int) -> str:
    return json.dumps({"MESSAGE": message, "_PID": str(pid)})


def test_the_units_own_words_come_before_systemds_words_about_it() -> None:
    entries = [entry("no such file", 99), entry("Main process exited", 1), entry("Scheduled restart", 1), "{torn"]
    assert tell(entries, 5) == ("no such file",)
    assert tell(entries[1:], 1) == ("Scheduled restart",)
    assert tell([json.dumps({"MESSAGE": [1, 2], "_PID": "9"})], 5) == ()
