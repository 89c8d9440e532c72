"""A copy of the names of our domains, which Postfix looks at before it asks the directory.

Each message asks several times whether a domain is ours, and a domain is rarely new.
What the copy does not know, Postfix asks of the directory: a new domain counts at once.
A name that is in the copy and no longer in the directory makes its addresses unknown
(5.1.1) instead of foreign until the copy is made anew, which the node agent does within
a minute. The copy lies below /run; an empty one stands in until there is a better.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

from appliance.cluster.names import InstanceId
from appliance.errors import PosthouseError
from appliance.paths import run

_DEADLINE: Final = 30.0


def table(instance: InstanceId) -> Path:
    """The table's name as Postfix writes it (cdb:NAME, cdb_table(5)); the file has `.cdb` behind it."""
    return run(instance) / "domains"


def read(instance: InstanceId) -> frozenset[str] | None:
    """The names in the copy; None when there is none."""
    try:
        source = table(instance).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    if not table(instance).with_suffix(".cdb").exists():
        return None
    return frozenset(line.split()[0] for line in source.splitlines())


def ensure(instance: InstanceId) -> None:
    """Make an empty copy where there is none. Raises PosthouseError."""
    if read(instance) is None:
        write(instance, ())


def write(instance: InstanceId, domains: Collection[str]) -> None:
    """Put a new copy in place of the old, in one step (postmap(1) renames). Raises PosthouseError."""
    source = table(instance)
    source.write_text("".join(f"{name} {name}\n" for name in sorted(domains)), encoding="utf-8")
    try:
        done = _postmap(source)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PosthouseError("domain-copy-failed", problem=str(error)) from error
    if done.returncode != 0:
        source.unlink()
        raise PosthouseError("domain-copy-failed", problem=done.stderr.strip())


def _postmap(source: Path) -> subprocess.CompletedProcess[str]:
    """Run postmap with a main.cf of its own: Postfix's programs wait until a new main.cf is some seconds old."""
    with tempfile.TemporaryDirectory(prefix="posthouse-postmap-") as folder:
        main_cf = Path(folder) / "main.cf"
        main_cf.write_text("compatibility_level = 3.7\n", encoding="ascii")
        os.utime(main_cf, (0, 0))
        return subprocess.run(
            ["postmap", "-c", folder, f"cdb:{source}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DEADLINE,
            check=False,
        )
