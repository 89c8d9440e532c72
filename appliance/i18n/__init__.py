"""Every text a person sees: message catalogues in Fluent, one folder per language, one file per area.

`translate("key", name=value)` gives the text in the reader's language: the one
chosen by `speaking`, else POSTHOUSE_LANG, LC_ALL, LC_MESSAGES or LANG, else
English. `key.attribute` reads an attribute (`setting-smtp-hostname.help`).
Whole numbers are shown without grouping, because most are ports, sizes and ids.

Syntax of the catalogues: https://projectfluent.org/fluent/guide/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from appliance.i18n.languages import FALLBACK, LANGUAGES, language_of
from appliance.i18n.missing import MissingText

if TYPE_CHECKING:
    from appliance.i18n.catalogue import Catalogue

__all__ = ["FALLBACK", "LANGUAGES", "MissingText", "current_language", "language_of", "lazy", "speaking", "translate"]

_LANGUAGE_VARIABLES = ("POSTHOUSE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
#: Set by pytest for its own process and children: a missing text is then an error, not a blemish.
_STRICT_VARIABLE = "PYTEST_VERSION"

_spoken: ContextVar[str | None] = ContextVar("spoken", default=None)


def current_language() -> str:
    """The language of texts when none is asked for: one of LANGUAGES."""
    spoken = _spoken.get()
    if spoken is not None:
        return spoken
    chosen = next((value for name in _LANGUAGE_VARIABLES if (value := os.environ.get(name))), "")
    return language_of(chosen)


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Use `lang` (any tag `language_of` understands) for every text inside the block, in this thread or task only."""
    token = _spoken.set(language_of(lang))
    try:
        yield
    finally:
        _spoken.reset(token)


def translate(key: str, /, lang: str | None = None, **facts: Any) -> str:
    """Return the text of `key` with `facts` in its placeables.

    A text missing in the language is taken from English. A key known nowhere
    gives the key and its facts, so that nothing is hidden from the reader;
    under test it raises MissingText instead, as does a missing fact.
    """
    strict = _STRICT_VARIABLE in os.environ
    language = language_of(lang) if lang else current_language()
    for candidate in dict.fromkeys((language, FALLBACK)):
        found = known(candidate)
        if key in found:
            return found.text(key, facts, strict=strict)
    if strict:
        raise MissingText(f"no text for {key!r}")
    told = ", ".join(f"{name}={value}" for name, value in facts.items())
    return f"{key} ({told})" if told else key


class _Lazy(str):
    """A text translated when it is shown. What click does to a help text first is `expandtabs`, `split` or `strip`."""

    __slots__ = ()

    def _text(self) -> str:
        return translate(str.__str__(self))

    def __str__(self) -> str:
        return self._text()

    def __format__(self, format_spec: str) -> str:
        return format(self._text(), format_spec)

    def expandtabs(self, *args: Any, **kwargs: Any) -> str:
        return self._text().expandtabs(*args, **kwargs)

    def split(self, *args: Any, **kwargs: Any) -> list[str]:
        return self._text().split(*args, **kwargs)

    def strip(self, *args: Any) -> str:
        return self._text().strip(*args)


def lazy(key: str) -> str:
    """A str for click's `help=`: the text of `key` in the language of the moment when it is shown.

    Help of an option is read once, when its command is loaded; help of a command whenever it is printed.
    """
    return _Lazy(key)


def known(lang: str) -> Catalogue:
    """The whole catalogue of one language, for checks and generated documents."""
    return _catalogue(language_of(lang))


@cache
def _catalogue(lang: str) -> Catalogue:
    """Read once per process and when a text is asked for: what always runs seldom speaks, and Fluent takes 3 MB."""
    from appliance.i18n.catalogue import Catalogue  # noqa: PLC0415 - see above

    return Catalogue(lang)
