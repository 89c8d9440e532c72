"""One account as the foreign system describes it, and what can be wrong with it.

Readers (`table` for CSV, `entries` for LDIF) yield these in the order of the
file; nothing is checked against the directory yet. Addresses are as written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from appliance.errors import PosthouseError
from appliance.migration.accounts.hashes import Password
from appliance.settings.units import parse_size

#: What people and systems write for "without limit".
_UNLIMITED = frozenset({"unlimited", "none", "no limit", "-1", "无限", "无限制", "不限", "無限", "無限制", "不限制"})
_ENABLED = frozenset(
    {"active", "enabled", "enable", "on", "yes", "true", "1", "open", "启用", "正常", "是", "啟用", "有効", "はい"}
)
_DISABLED = frozenset(
    {"disabled", "disable", "inactive", "off", "no", "false", "0", "closed", "locked", "blocked", "suspended"}
    | {"noaccess", "nopop", "lockout", "maintenance", "pending"}
    | {"停用", "禁用", "冻结", "锁定", "否", "停權", "凍結", "鎖定", "無効", "いいえ"}
)
_DELETED = frozenset({"deleted", "removed", "已删除", "已刪除", "削除"})
#: qmail and Courier: `1000000S,500C` limits bytes and messages; Posthouse limits bytes.
_COURIER_QUOTA = re.compile(r"(?:(?P<size>\d+)S)?,?(?:\d+C)?", re.ASCII)
_SEPARATORS = re.compile(r"[\s,;|]+")


class RowRefused(PosthouseError):
    """A row cannot become an account; `line` is where it starts in the file."""


@dataclass(frozen=True)
class Account:
    """One account. `password` None: the source gives none. `quota` in bytes, 0 without limit, None: not said.

    `forward_only`: it holds no mail, so it becomes an alias of `forwards`.
    `weak_scheme` names the scheme of a hash that is not kept.
    """

    line: int
    address: str
    name: str = ""
    password: Password | None = field(default=None, repr=False)
    quota: int | None = None
    aliases: tuple[str, ...] = ()
    forwards: tuple[str, ...] = ()
    forward_only: bool = False
    enabled: bool = True
    weak_scheme: str = ""


@dataclass(frozen=True)
class BadRow:
    """A row that was refused while reading."""

    line: int
    address: str
    problem: PosthouseError


Row = Account | BadRow


def quota(text: str, unit: int = 1) -> int | None:
    """Bytes of a quota; a bare number counts in `unit` bytes. None for an empty text. Raises RowRefused."""
    plain = text.strip()
    if not plain:
        return None
    if plain.lower() in _UNLIMITED:
        return 0
    courier = _COURIER_QUOTA.fullmatch(plain)
    if courier and plain[-1] in "SC":
        return int(courier["size"] or 0)
    try:
        return parse_size(plain) * (unit if plain.isdecimal() else 1)
    except ValueError:
        raise RowRefused("migrate-bad-quota", value=plain) from None


def enabled(text: str) -> bool:
    """Whether a status means that the account may be used; an empty text does. Raises RowRefused."""
    plain = text.strip().lower()
    if not plain or plain in _ENABLED:
        return True
    if plain in _DISABLED:
        return False
    if plain in _DELETED:
        raise RowRefused("migrate-deleted-there")
    raise RowRefused("migrate-bad-status", value=text.strip())


def addresses(text: str) -> tuple[str, ...]:
    """The addresses in a cell, separated by blanks, commas, semicolons or bars."""
    return tuple(part for part in _SEPARATORS.split(text) if part)


def with_domain(name: str, domain: str | None) -> str:
    """`name`, completed by the domain when it is a bare local part. Raises RowRefused when there is none to add."""
    plain = name.strip()
    if not plain:
        raise RowRefused("migrate-no-address")
    if "@" in plain:
        return plain
    if not domain:
        raise RowRefused("migrate-no-domain", value=plain)
    return f"{plain}@{domain}"


def distinct(parts: list[str], besides: str) -> tuple[str, ...]:
    """`parts` without repetitions and without `besides`, compared without regard to case, in order."""
    seen = {besides.lower()}
    kept = []
    for part in parts:
        if part.lower() not in seen:
            seen.add(part.lower())
            kept.append(part)
    return tuple(kept)
