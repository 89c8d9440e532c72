"""What a domain says for all its mailboxes, as a user database of Dovecot's (passwd-file, looked up by domain).

Dovecot remembers the answer of the last user database it asks, not of those before: in
the directory, each delivery and each login would ask about the domain again. The node
agent makes the file anew when a domain changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from appliance import durable_files
from appliance.cluster.names import InstanceId
from appliance.paths import config, run

#: File of the rendered configuration that holds the system's choice.
DEFAULTS: Final = "domain-defaults"
_FULL_TEXT: Final = "fts.enabled"
_FULL_TEXT_FIELD: Final = "userdb_fts=xapian"


def table(instance: InstanceId) -> Path:
    """Where the file is."""
    return run(instance) / "domain-fields"


def defaults_text(*, full_text: bool) -> str:
    """The content of DEFAULTS."""
    return json.dumps({_FULL_TEXT: full_text}) + "\n"


def text(domains: Iterable[tuple[str, Mapping[str, str]]], defaults: Mapping[str, bool]) -> str:
    """The file for these domains (name, stored parameters as JSON texts): a line for each that has a field. Pure.

    A value that cannot be read counts as not set.
    """
    lines = [
        f"{name}:::::::{_FULL_TEXT_FIELD}\n"
        for name, settings in sorted(domains)
        if _boolean(settings.get(_FULL_TEXT), default=defaults.get(_FULL_TEXT, False))
    ]
    return "".join(lines)


def write(instance: InstanceId, domains: Iterable[tuple[str, Mapping[str, str]]]) -> bool:
    """Put a new file in place when it says something else; whether it did."""
    content = text(domains, json.loads((config(instance) / DEFAULTS).read_text(encoding="ascii")))
    if table(instance).exists() and table(instance).read_text(encoding="utf-8") == content:
        os.utime(table(instance))
        return False
    durable_files.replace(table(instance), content.encode(), 0o644)
    return True


def outdated(instance: InstanceId) -> bool:
    """Whether there is no file yet, or the system's choice is newer."""
    try:
        # its time of modification is set back (generations.py)
        return table(instance).stat().st_mtime < (config(instance) / DEFAULTS).stat().st_ctime
    except FileNotFoundError:
        return (config(instance) / DEFAULTS).exists()


def ensure(instance: InstanceId) -> None:
    """Make an empty file where there is none."""
    if not table(instance).exists():
        durable_files.replace(table(instance), b"", 0o644)


def _boolean(stored: str | None, *, default: bool) -> bool:
    return {"true": True, "false": False}.get((stored or "").strip(), default)
