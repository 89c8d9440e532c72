"""Sizes and durations as people write them, exactly.

Sizes are bytes with binary multiples (`25M` is 25 * 2**20), durations seconds
(`1h30m`). `parse_*` raises ValueError on anything else, and never rounds:
`parse(format(x)) == x` for every x >= 0.
"""

from __future__ import annotations

import re
from decimal import Decimal

_SIZE_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_DURATION_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}

#: At most 20 digits: longer numbers are mistakes, and arithmetic on them costs.
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,10})?)\s*([kmgtp]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_DURATION_PART = re.compile(r"([0-9]{1,12})\s*([wdhms])\s*", re.IGNORECASE | re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes of `25M`, `1.5G`, `4 GiB` or a plain number of bytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    size = Decimal(match[1]) * _SIZE_UNITS[match[2].upper()]
    if size != int(size):
        raise ValueError(text)
    return int(size)


def format_size(size: int) -> str:
    """The shortest exact form: `25M`, `1536M`, `1000` bytes."""
    for unit, factor in reversed(_SIZE_UNITS.items()):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def about_size(size: float) -> str:
    """A size for reading, rounded to about three figures: `3.82 GiB`."""
    value, unit = float(size), ""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(value) < 1000 or unit == "PiB":  # noqa: PLR2004 - four figures are one too many
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"


def parse_duration(text: str) -> int:
    """Seconds of `30d`, `1h30m`, `90s` or a plain number of seconds. Units go from large to small, each once."""
    plain = text.strip()
    if _SECONDS.fullmatch(plain):
        return int(plain)
    total, position, last = 0, 0, 2**63
    while position < len(plain):
        part = _DURATION_PART.match(plain, position)
        if part is None or (factor := _DURATION_UNITS[part[2].lower()]) >= last:
            raise ValueError(text)
        total += int(part[1]) * factor
        position, last = part.end(), factor
    if not plain:
        raise ValueError(text)
    return total


def format_duration(seconds: int) -> str:
    """The shortest exact form without weeks: `30d`, `1h30m`, `45s`, `0s`."""
    parts = []
    for unit, factor in _DURATION_UNITS.items():
        if unit != "w" and seconds >= factor:
            parts.append(f"{seconds // factor}{unit}")
            seconds %= factor
    return "".join(parts) or "0s"
