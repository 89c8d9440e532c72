"""A list of mailboxes on another IMAP server: source user, source password, address here; one a line of a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.errors import BadInput, PosthouseError
from appliance.migration.accounts.record import RowRefused
from appliance.migration.accounts.table import decoded

_NAMES = {
    "user": (
        "user",
        "source_user",
        "username",
        "login",
        "用户",
        "用户名",
        "账号",
        "帐号",
        "帳號",
        "使用者",
        "ユーザー",
        "ユーザー名",
    ),
    "password": ("password", "source_password", "pass", "密码", "密碼", "パスワード"),
    "address": (
        "address",
        "target",
        "mailbox",
        "email",
        "邮箱",
        "邮箱地址",
        "地址",
        "信箱",
        "郵件地址",
        "アドレス",
        "メールアドレス",
    ),
}
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Listed:
    """A line of the list. `problem` when it cannot be used."""

    line: int
    user: str
    address: str
    password: str = field(default="", repr=False)
    problem: PosthouseError | None = None


def read(data: bytes, encoding: str | None = None) -> Iterator[Listed]:
    """The lines of a list; without an address, the user's name is taken for it.

    Raises BadInput at once for a heading that does not name the columns.
    """
    text, _ = decoded(data, encoding)
    heading = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=lambda each: len(_columns(heading, each)))
    columns = _columns(heading, delimiter)
    if not {"user", "password"} <= columns.keys():
        raise BadInput("accounts", "migrate-list-heading", heading=heading.strip()[:200])
    return _lines(text, delimiter, columns)


def _columns(heading: str, delimiter: str) -> dict[str, int]:
    columns: dict[str, int] = {}
    for at, title in enumerate(next(csv.reader([heading.strip()], delimiter=delimiter), [])):
        plain = title.strip().strip("\ufeff").lower().replace(" ", "_")
        for name, known in _NAMES.items():
            if plain in known:
                columns.setdefault(name, at)
    return columns


def _lines(text: str, delimiter: str, columns: dict[str, int]) -> Iterator[Listed]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    next(reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Listed(line, "", "", problem=RowRefused("migrate-bad-csv", detail=str(error)))
            continue
        if any(cell.strip() for cell in cells):
            said = {name: cells[at] if at < len(cells) else "" for name, at in columns.items()}
            user = said["user"].strip()
            address = said.get("address", "").strip() or user
            missing = next((name for name in ("user", "password") if not said[name].strip()), None)
            problem = RowRefused("migrate-list-empty", field=missing) if missing else None
            yield Listed(line, user, address, said["password"], problem)
