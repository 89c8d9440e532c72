"""Accounts from a table: CSV as spreadsheets and control panels write it.

The first line names the columns, in any order and in four languages; the
delimiter is found by csv.Sniffer, checked against the column names. Text is
UTF-8 (with or without BOM), UTF-16 with BOM, or GB18030, as Chinese spreadsheets save it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from appliance.errors import BadInput, PosthouseError
from appliance.migration.accounts import record
from appliance.migration.accounts.hashes import Understood, password_or_hash, understand
from appliance.migration.accounts.record import Account, BadRow, Row, RowRefused

_DELIMITERS = ",;\t|"
_SAMPLE = 64 * 1024
_MAX_CELL = 64 * 1024
#: Excel's way to say the delimiter, a line before the heading.
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_BLANKS = re.compile(r"[\s\-.]+")


class Field(StrEnum):
    """What a column can hold."""

    ADDRESS = "address"
    DOMAIN = "domain"
    NAME = "name"
    PASSWORD = "password"  # noqa: S105 - the column's name
    HASH = "password_hash"
    QUOTA = "quota"
    QUOTA_MB = "quota_mb"
    QUOTA_GB = "quota_gb"
    ALIASES = "aliases"
    FORWARDS = "forward"
    STATUS = "status"


_NAMES: Mapping[Field, str] = {
    Field.ADDRESS: "address email e_mail mail mailbox user username user_name login account email_address mail_address "
    "邮箱 邮箱地址 邮件地址 邮箱账号 邮箱帐号 账号 帐号 用户 用户名 "
    "郵箱 信箱 郵件地址 電子郵件 電子郵件地址 帳號 使用者 使用者名稱 "
    "メール メールアドレス アドレス アカウント ユーザー ユーザー名",
    Field.DOMAIN: "domain 域名 域 網域 ドメイン",
    Field.NAME: "name display_name displayname full_name fullname real_name realname cn "
    "姓名 名称 显示名 显示名称 名字 名稱 顯示名稱 氏名 名前 表示名",
    Field.PASSWORD: "password passwd pass pwd cleartext_password plain_password 密码 口令 密碼 パスワード",
    Field.HASH: "password_hash hash passwordhash hashed_password crypt userpassword "
    "密码哈希 密碼雜湊 パスワードハッシュ",
    Field.QUOTA: "quota quota_bytes size_limit 容量 配额 空间 邮箱容量 配額 空間 クォータ",
    Field.QUOTA_MB: "quota_mb quota(mb) 容量(mb) 容量_mb 配额(mb) 配額(mb)",
    Field.QUOTA_GB: "quota_gb quota(gb) 容量(gb) 容量_gb 配额(gb) 配額(gb)",
    Field.ALIASES: "alias aliases 别名 邮箱别名 別名 エイリアス",
    Field.FORWARDS: "forward forwards forward_to forwarding 转发 转发地址 轉寄 轉寄地址 転送 転送先",
    Field.STATUS: "status enabled active state 状态 启用 狀態 啟用 状態 有効",
}
_FIELDS: Mapping[str, Field] = {name: column for column, names in _NAMES.items() for name in names.split()}


@dataclass(frozen=True)
class Table:
    """A table whose heading was understood; iterate for its rows."""

    encoding: str
    delimiter: str
    columns: Mapping[int, Field]
    ignored: tuple[str, ...]
    _text: str
    _lines_before: int

    def rows(self, domain: str | None = None) -> Iterator[Row]:
        """Each row in order; `domain` completes bare local parts. Blank lines are no rows."""
        reader = csv.reader(io.StringIO(self._text, newline=""), delimiter=self.delimiter, strict=True)
        next(reader)
        while True:
            line = self._lines_before + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(line, "", RowRefused("migrate-bad-csv", detail=str(error)))
                continue
            if any(cell.strip() for cell in cells):
                yield _row(line, {column: cells[at] for at, column in self.columns.items() if at < len(cells)}, domain)


def read(data: bytes, encoding: str | None = None) -> Table:
    """Understand a table. Raises BadInput when it is no text, or its heading names no addresses."""
    text, found = decoded(data, encoding)
    before = len(text) - len(text.lstrip("\r\n"))
    told = _EXCEL_HINT.match(text, before)
    start = told.end() if told else before
    first = text[start:].partition("\n")[0].rstrip("\r")
    delimiter = told[1] if told else _delimiter(text[start:], first)
    heading = next(csv.reader(io.StringIO(text[start:], newline=""), delimiter=delimiter), [])
    columns, ignored = _understand(heading)
    if Field.ADDRESS not in columns.values():
        raise BadInput("file", "migrate-no-address-column", heading=", ".join(heading)[:200])
    return Table(found, delimiter, columns, ignored, text[start:], text.count("\n", 0, start))


def decoded(data: bytes, encoding: str | None = None) -> tuple[str, str]:
    """The text and the encoding's name. Raises BadInput, naming the line, when it is not text of that encoding."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if encoding is None and data.startswith(mark):
            encoding = name
    candidates = (encoding,) if encoding else ("utf-8", "gb18030")
    for name in candidates:
        try:
            text = data.decode(name)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
        except LookupError:
            raise BadInput("encoding", "migrate-unknown-encoding", value=name) from None
        else:
            if "\0" in text:
                raise BadInput("file", "migrate-not-text", line=text.count("\n", 0, text.index("\0")) + 1)
            return text, name
    raise BadInput("file", "migrate-not-decodable", encodings=" / ".join(candidates), line=line)


def _delimiter(text: str, heading: str) -> str:
    """The delimiter under which the heading names the most columns that are known; the Sniffer's word breaks a tie."""
    try:
        sniffed = csv.Sniffer().sniff(text[:_SAMPLE], _DELIMITERS).delimiter
    except csv.Error:
        sniffed = ","

    def known(delimiter: str) -> tuple[int, bool]:
        cells = next(csv.reader([heading], delimiter=delimiter), [])
        return len(_understand(cells, strict=False)[0]), delimiter == sniffed

    return max(_DELIMITERS, key=known)


def _understand(heading: Sequence[str], strict: bool = True) -> tuple[dict[int, Field], tuple[str, ...]]:
    """Which column holds what; and the names of columns that are not used. Raises BadInput for a field named twice."""
    columns: dict[int, Field] = {}
    ignored = []
    for at, title in enumerate(heading):
        column = _FIELDS.get(_normal(title))
        if column is None:
            if title.strip():
                ignored.append(title.strip())
        elif column in columns.values():
            if strict:
                raise BadInput("file", "migrate-column-twice", column=title.strip(), meaning=column.value)
        else:
            columns[at] = column
    return columns, tuple(ignored)


def _normal(title: str) -> str:
    plain = title.strip().strip("\ufeff\"'").lower().replace("（", "(").replace("）", ")")
    return _BLANKS.sub("_", plain).replace("_(", "(")


def _row(line: int, cells: Mapping[Field, str], domain: str | None) -> Row:
    address = cells.get(Field.ADDRESS, "").strip()
    try:
        return _account(line, cells, cells.get(Field.DOMAIN, "").strip() or domain)
    except PosthouseError as problem:
        return BadRow(line, address, problem)


def _account(line: int, cells: Mapping[Field, str], domain: str | None) -> Account:
    for column, text in cells.items():
        if len(text) > _MAX_CELL:
            raise RowRefused("migrate-cell-too-long", column=column.value, maximum=_MAX_CELL)
    address = record.with_domain(cells.get(Field.ADDRESS, ""), domain)
    own = address.rpartition("@")[2]
    known = _password(cells)
    parts = record.addresses(cells.get(Field.ALIASES, ""))
    forwards = record.addresses(cells.get(Field.FORWARDS, ""))
    return Account(
        line=line,
        address=address,
        name=cells.get(Field.NAME, "").strip(),
        password=known.password,
        quota=_quota(cells),
        aliases=record.distinct([record.with_domain(part, own) for part in parts], address),
        forwards=record.distinct([record.with_domain(part, own) for part in forwards], address),
        enabled=record.enabled(cells.get(Field.STATUS, "")) and not known.locked,
        weak_scheme=known.weak,
    )


def _password(cells: Mapping[Field, str]) -> Understood:
    """The password of a row; a clear one only where there is no hash."""
    clear = cells.get(Field.PASSWORD, "")
    known = understand(cells.get(Field.HASH, ""))
    if known.password or not clear:
        return known
    return password_or_hash(clear)


def _quota(cells: Mapping[Field, str]) -> int | None:
    for column, unit in ((Field.QUOTA, 1), (Field.QUOTA_MB, 2**20), (Field.QUOTA_GB, 2**30)):
        found = record.quota(cells.get(column, ""), unit)
        if found is not None:
            return found
    return None
