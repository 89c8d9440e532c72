"""Two runs of the set-up at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.installation.alone import Busy, alone


def test_the_second_run_is_told_and_the_next_may(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with alone(lock), pytest.raises(Busy) as refused, alone(lock):
        pass
    assert refused.value.key == "init-busy"
    with alone(lock):
        pass
