"""Dovecot's own checker, doveconf(1), on a rendered configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from appliance.cluster.names import InstanceId
from appliance.engines.base import ConfigurationRefused

_DEADLINE: Final = 30.0


def check(instance: InstanceId, folder: Path) -> None:
    """Raise ConfigurationRefused, with its words, when doveconf finds a fault in `folder`/dovecot.conf."""
    result = subprocess.run(
        ["doveconf", "-x", "-c", str(folder / "dovecot.conf")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=_DEADLINE,
        check=False,
    )
    # -x reads the files that settings name (the output holds the key: never keep it); doveconf only
    # warns where Dovecot would start and then not do what was meant.
    if result.returncode != 0 or result.stderr.strip():
        raise ConfigurationRefused(instance, result.stderr.strip() or f"doveconf: {result.returncode}")
