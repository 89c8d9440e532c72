"""The four languages of the product, and which one a locale or a language tag means.

Tags follow BCP 47 (`zh-Hant-HK`), locales POSIX (`zh_CN.UTF-8`); both are read.
"""

from __future__ import annotations

from typing import Final

FALLBACK: Final = "en"
LANGUAGES: Final = ("en", "zh-CN", "zh-TW", "ja")

#: Subtags that say that Chinese is written in traditional characters.
_TRADITIONAL = frozenset({"hant", "tw", "hk", "mo"})


def language_of(tag: str) -> str:
    """Return the language that serves `tag` best; English when none does (also for `C` and an empty tag)."""
    plain = tag.partition(".")[0].partition("@")[0]
    primary, *subtags = plain.replace("_", "-").lower().split("-")
    if primary == "ja":
        return "ja"
    if primary == "zh":
        simplified = "hans" in subtags
        return "zh-TW" if not simplified and _TRADITIONAL.intersection(subtags) else "zh-CN"
    return FALLBACK
