"""The auditor of a volume's own journal: `.posthouse/owners.log`, lines that every owner wrote on the volume itself.

A volume cannot lie about the order in which it was written. Epochs only grow; who has been followed by another writes
nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

PATH = ".posthouse/owners.log"


def entries(text: str) -> list[dict[str, Any]]:
    """The lines that can be read: a power cut may tear one."""
    found = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"node", "epoch", "happened"} <= entry.keys():
            found.append(entry)
    return found


def audit_journal(lines: Iterable[dict[str, Any]]) -> list[str]:
    """What must not be: an epoch used twice by different owners or after a later one; two owners without an end."""
    wrong: list[str] = []
    epoch, owner = 0, ""
    for line in lines:
        if line["epoch"] < epoch:
            wrong.append(f"{line['node']} wrote with epoch {line['epoch']} after {owner} had had epoch {epoch}")
        elif line["epoch"] == epoch and line["node"] != owner:
            wrong.append(f"{line['node']} and {owner} both had epoch {epoch}")
        else:
            epoch, owner = line["epoch"], line["node"]
    return wrong


def owners_in_order(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Who attached the volume, one after the other."""
    return [line["node"] for line in lines if line["happened"] == "attached"]
