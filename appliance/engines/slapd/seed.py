"""The first entries of an empty database: the root of the tree and its containers.

Loaded by slapadd(8) before slapd's first start, as slapd's own user. An interrupted
load is repeated: entries that exist are passed over (-c), and the mark is written last.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from appliance.directory import schema
from appliance.errors import Unavailable

MARK: Final = "tree-version"
_DEADLINE: Final = 60.0
_KEY_EXISTS: Final = "MDB_KEYEXIST"


def tree() -> str:
    """The entries as LDIF (RFC 2849)."""
    root = (
        f"dn: {schema.SUFFIX}\nobjectClass: organization\nobjectClass: {schema.DIRECTORY}\n"
        f"{schema.VERSION}: {schema.SCHEMA_VERSION}\n"
    )
    containers = (f"dn: {name}\nobjectClass: organizationalUnit\n" for name in schema.CONTAINERS)
    return "\n".join((root, *containers))


def prepare(configuration: Path, database: Path, user: str) -> None:
    """Load the tree unless that was done; raise Unavailable with slapadd's words when it fails."""
    mark = database / MARK
    if mark.exists():
        return
    result = subprocess.run(
        ["slapadd", "-c", "-w", "-b", schema.SUFFIX, "-f", str(configuration)],
        input=tree(),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_DEADLINE,
        check=False,
        user=user,
        group=user,
        extra_groups=[],
        umask=0o077,
    )
    if result.returncode != 0 and (problems := refusals(result.stderr)):
        raise Unavailable("directory-seed-failed", detail=problems)
    mark.write_text(f"{schema.SCHEMA_VERSION}\n", encoding="ascii")


def refusals(said: str) -> str:
    """What slapadd refused, besides entries that exist already; all it said if it named nothing. Pure."""
    refused = [line for line in said.splitlines() if line.startswith("slapadd: ")]
    return "\n".join(line for line in refused if _KEY_EXISTS not in line) if refused else said.strip() or "?"
