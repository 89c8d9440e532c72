"""The generated reference in docs/ is what the code says now."""

from __future__ import annotations

import subprocess
import sys

from appliance.settings.reference import settings_page
from appliance.settings.registry import PARAMETERS


def test_the_committed_reference_is_up_to_date() -> None:
    command = [sys.executable, "-m", "appliance.settings.reference", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_parameter_stands_in_the_reference() -> None:
    page = settings_page("ja")
    assert all(f"### `{name}`\n" in page for name in PARAMETERS)
