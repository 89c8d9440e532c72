"""One language's catalogue: all `locales/LANG/*.ftl`, of which only the messages asked for are parsed.

Parsing every Fluent file would cost each run of the command line a noticeable
fraction of a second, so files are cut into entries by their first lines and an
entry is parsed on first use. Messages may refer to terms (`-brand`) but not to
other messages; a unit test keeps that, and that the cutting agrees with the parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from fluent.runtime import FluentBundle, FluentResource
from fluent.runtime.types import FluentNone, fluent_number

from appliance.i18n.missing import MissingText

#: Babel formats numbers with the 28 digits of Python's decimal arithmetic.
_LARGEST = 10**24
LOCALES = Path(__file__).parent / "locales"

_ENTRY = re.compile(r"^(?P<name>-?[a-zA-Z][a-zA-Z0-9_-]*) *=|^#.*$", re.MULTILINE)


def entries_of(text: str) -> Iterator[tuple[str, str]]:
    """Cut a Fluent file into (name, source) of its messages and terms; comments are left out."""
    starts = list(_ENTRY.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    for start, end in zip(starts, ends, strict=True):
        if name := start["name"]:
            yield name, text[start.start() : end]


class Catalogue:
    """The messages of one language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self._bundle = FluentBundle([lang], use_isolating=False)
        self._sources: dict[str, str] = {}
        for path in sorted((LOCALES / lang).glob("*.ftl")):
            self._sources.update(entries_of(path.read_text(encoding="utf-8")))
        terms = "".join(source for name, source in self._sources.items() if name.startswith("-"))
        self._bundle.add_resource(FluentResource(terms))

    def __contains__(self, key: str) -> bool:
        name, dot, attribute = key.partition(".")
        if name not in self._sources:
            return False
        return not dot or attribute in self._message(name).attributes

    def _message(self, name: str) -> Any:
        if not self._bundle.has_message(name):
            self._bundle.add_resource(FluentResource(self._sources[name]))
        if not self._bundle.has_message(name):
            raise MissingText(f"{self.lang}: {name} cannot be parsed")
        return self._bundle.get_message(name)

    def keys(self) -> frozenset[str]:
        """The names of all messages, without terms."""
        return frozenset(name for name in self._sources if not name.startswith("-"))

    def text(self, key: str, facts: Mapping[str, Any], *, strict: bool) -> str:
        """Format `key`, which this catalogue contains. With `strict`, a fact it lacks raises MissingText."""
        name, _, attribute = key.partition(".")
        message = self._message(name)
        pattern = message.attributes[attribute] if attribute else message.value
        if pattern is None:
            raise MissingText(f"{self.lang}: {key} has attributes only")
        plain = {fact: _fluent(value) for fact, value in facts.items()}
        text, errors = self._bundle.format_pattern(pattern, plain)
        if errors and strict:
            raise MissingText(f"{self.lang}: {key}: {errors}")
        return str(text)


def _fluent(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return str(value)
    if isinstance(value, int | float | Decimal):
        return fluent_number(value, useGrouping=False)
    if isinstance(value, str | date | FluentNone):
        return value
    return str(value)
