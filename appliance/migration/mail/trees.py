"""Finding many mailboxes in a tree by a pattern such as `maildir:{domain}/{local}/Maildir`.

Each step of the pattern is a folder's name with `{domain}`, `{local}`, `{address}` and
`*` in it. Symbolic links are not followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput

_KINDS = ("maildir", "mbox")
_PLACEHOLDER = re.compile(r"\{(domain|local|address)\}|\*")
_FORMS = {"domain": r"(?P<domain>[^@/]+)", "local": r"(?P<local>[^@/]+)", "address": r"(?P<address>[^/]+@[^/]+)"}
_FIELD = "layout"


@dataclass(frozen=True)
class Layout:
    """A pattern that was understood: `kind` of source, and a regular expression for each step."""

    kind: str
    steps: tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class Match:
    """A place in the tree, and the address that its path says."""

    address: str
    path: Path


def parse(text: str, domain: str | None) -> Layout:
    """Understand a pattern; `domain` is needed when it does not say any. Raises BadInput."""
    kind, colon, pattern = text.partition(":")
    if not colon or kind not in _KINDS:
        raise BadInput(_FIELD, "migrate-layout-kind", value=text)
    named = [match[1] for match in _PLACEHOLDER.finditer(pattern) if match[1]]
    if len(set(named)) != len(named) or ("address" in named) == ("local" in named):
        raise BadInput(_FIELD, "migrate-layout-address", value=text)
    if "local" in named and "domain" not in named and not domain:
        raise BadInput(_FIELD, "migrate-layout-domain", value=text)
    steps = [step for step in pattern.split("/") if step not in ("", ".")]
    if ".." in steps or pattern.startswith("/"):
        raise BadInput(_FIELD, "migrate-layout-climbs", value=text)
    return Layout(kind, tuple(_step(step) for step in steps))


def _step(text: str) -> re.Pattern[str]:
    form, end = "", 0
    for match in _PLACEHOLDER.finditer(text):
        form += re.escape(text[end : match.start()]) + (_FORMS[match[1]] if match[1] else r"[^/]*")
        end = match.end()
    return re.compile(form + re.escape(text[end:]))


def find(root: Path, layout: Layout, domain: str | None) -> Iterator[Match]:
    """The places in the tree, in the order of their names. Raises OSError when the root cannot be read."""
    for path, said in _walk(root, layout.steps, {}):
        address = said.get("address") or f"{said['local']}@{said.get('domain', domain)}"
        yield Match(address, path)


def _walk(
    path: Path, steps: tuple[re.Pattern[str], ...], said: dict[str, str]
) -> Iterator[tuple[Path, dict[str, str]]]:
    if not steps:
        yield path, said
        return
    with os.scandir(path) as entries:
        listed = sorted((entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in entries)
    for name, is_folder, is_link in listed:
        match = steps[0].fullmatch(name)
        if match and not is_link and (is_folder or len(steps) == 1):
            yield from _walk_into(path / name, steps[1:], {**said, **match.groupdict()})


def _walk_into(
    path: Path, steps: tuple[re.Pattern[str], ...], said: dict[str, str]
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Go on in a folder; one that cannot be read holds nothing for us."""
    try:
        yield from _walk(path, steps, said)
    except PermissionError:
        return
