"""Making many mailboxes: rows checked one by one, passwords hashed on every core, additions pipelined.

A row that is refused harms no other. Each addition is durable by itself: LDAP
transactions (RFC 5805) would be faster, but slapd 2.5 tells syncprov about a
transaction's entries before it commits (docs/decisions/0021-no-ldap-transactions.md).
"""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from appliance.directory import entries
from appliance.directory.connection import Attributes, DirectoryConnection, EntryExists, EntryMissing
from appliance.directory.mailboxes import Mailboxes
from appliance.directory.model import NewMailbox
from appliance.errors import AlreadyExists, BadInput, NotFound, PosthouseError
from appliance.settings.units import parse_size

COLUMNS: Final = ("address", "name", "password", "password_hash", "quota", "description")
#: Rows whose passwords are being hashed at once.
_AHEAD: Final = 256
_MAX_FIELD: Final = 4096


@dataclass(frozen=True)
class Row:
    """One mailbox that is wanted, as it stands in a file; `line` is where. Empty fields mean the default."""

    line: int
    address: str
    name: str = ""
    password: str = field(default="", repr=False)
    password_hash: str = field(default="", repr=False)
    quota: str = ""
    description: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a row: made, or refused and why."""

    row: Row
    error: PosthouseError | None = None


def rows(lines: Iterable[str]) -> Iterator[Row]:
    """Read CSV with a heading of COLUMNS, `address` among them; raises BadInput for a file that is none."""
    reader = csv.DictReader(lines, strict=True)
    try:
        heading = [name.strip().lower() for name in reader.fieldnames or ()]
        unknown = sorted(set(heading) - set(COLUMNS))
        if "address" not in heading or unknown or len(set(heading)) != len(heading):
            raise BadInput("file", "bulk-heading", columns=",".join(COLUMNS), unknown=", ".join(unknown))
        reader.fieldnames = heading
        for values in reader:
            yield _row(reader.line_num, values)
    except csv.Error as error:
        raise BadInput("file", "bulk-not-csv", line=reader.line_num, problem=str(error)) from None
    except UnicodeDecodeError:
        raise BadInput("file", "bulk-not-utf8") from None


def create_many(mailboxes: Mailboxes, connection: DirectoryConnection, wanted: Iterable[Row]) -> Iterator[Outcome]:
    """Make a mailbox of each row; yield outcomes, refusals as they are found. Raises Unavailable."""
    waiting: deque[tuple[Row, str]] = deque()
    under_way: set[str] = set()  # slapd works on several at once: of two equal rows the first has to win
    refused: deque[Outcome] = deque()
    now = datetime.now(UTC)

    def accepted() -> Iterator[tuple[str, Attributes]]:
        for row, checked in _checked(mailboxes, wanted):
            if not isinstance(checked, NewMailbox):
                refused.append(Outcome(row, checked))
            elif (address := str(checked.address)) in under_way:
                refused.append(Outcome(row, AlreadyExists("address-exists", address=checked.address.display)))
            else:
                waiting.append((row, address))
                under_way.add(address)
                yield entries.new_mailbox(checked, now)

    for refusal in connection.add_many(accepted()):
        while refused:
            yield refused.popleft()
        row, address = waiting.popleft()
        under_way.discard(address)
        yield Outcome(row, _error(row, refusal))
    yield from refused


def _checked(mailboxes: Mailboxes, wanted: Iterable[Row]) -> Iterator[tuple[Row, NewMailbox | PosthouseError]]:
    """The rows in their order, checked and their passwords hashed, some rows ahead."""
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="hash") as pool:
        ahead: deque[tuple[Row, Future[NewMailbox] | PosthouseError]] = deque()
        for row in wanted:
            ahead.append((row, _begin(mailboxes, pool, row)))
            if len(ahead) >= _AHEAD:
                yield _finished(*ahead.popleft())
        while ahead:
            yield _finished(*ahead.popleft())


def _begin(mailboxes: Mailboxes, pool: ThreadPoolExecutor, row: Row) -> Future[NewMailbox] | PosthouseError:
    try:
        checked, finish = mailboxes.unhashed(
            row.address,
            password=row.password or None,
            password_hash=row.password_hash or None,
            name=row.name or None,
            quota=_quota(row.quota),
            remark=row.description or None,
        )
    except (BadInput, NotFound) as error:
        return error
    return pool.submit(lambda: replace(checked, password=finish()))


def _finished(row: Row, begun: Future[NewMailbox] | PosthouseError) -> tuple[Row, NewMailbox | PosthouseError]:
    return row, begun.result() if isinstance(begun, Future) else begun


def _error(row: Row, refusal: PosthouseError | None) -> PosthouseError | None:
    if isinstance(refusal, EntryExists):
        return AlreadyExists("address-exists", address=row.address)
    if isinstance(refusal, EntryMissing):
        return NotFound("domain-unknown", domain=row.address.rpartition("@")[2])
    return refusal


def _row(line: int, values: dict[str | Any, str | Any]) -> Row:
    texts = {name: (values.get(name) or "") for name in COLUMNS}
    if None in values or any(len(text) > _MAX_FIELD for text in texts.values()):
        raise BadInput("file", "bulk-bad-row", line=line, maximum=_MAX_FIELD)
    return Row(line, **{name: text if name == "password" else text.strip() for name, text in texts.items()})


def _quota(text: str) -> int | None:
    if not text:
        return None
    try:
        return parse_size(text)
    except ValueError:
        raise BadInput("quota", "setting-not-size", value=text) from None
