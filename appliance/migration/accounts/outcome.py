"""What became of each row: created, exists or refused, and the report that says so.

A report may hold generated passwords, so it is readable by its owner alone. While a
run goes on, outcomes are appended to `REPORT.partial`, a generated password before its
account is made: whenever a run dies, no account has a password that nobody knows.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance import durable_files
from appliance.cluster.report import Notice
from appliance.errors import PosthouseError
from appliance.i18n import translate

_COLUMNS = ("line", "kind", "address", "result", "password", "reason", "notes")
#: A spreadsheet must not take a cell for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Kind(StrEnum):
    """What a row makes."""

    DOMAIN = "domain"
    MAILBOX = "mailbox"
    ALIAS = "alias"


class Result(StrEnum):
    """How a row ended."""

    CREATED = "created"
    EXISTS = "exists"
    REFUSED = "refused"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """One line of the report. `password` only where one was generated."""

    line: int
    kind: Kind
    address: str
    result: Result
    reason: Notice | None = None
    notes: tuple[Notice, ...] = ()
    password: str = field(default="", repr=False)

    @classmethod
    def refused(cls, line: int, kind: Kind, address: str, problem: PosthouseError) -> Outcome:
        """The outcome of a row that was refused for `problem`."""
        return cls(line, kind, address, Result.REFUSED, Notice.of(problem))

    def plain(self) -> dict[str, Any]:
        """For JSON: message keys for programs, texts in the reader's language beside them."""
        reason = {"key": self.reason.key, "text": told(self.reason)} if self.reason else None
        notes = [{"key": note.key, "text": told(note)} for note in self.notes]
        facts = {"line": self.line, "kind": self.kind.value, "address": self.address, "result": self.result.value}
        return {**facts, "reason": reason, "notes": notes, **({"password": self.password} if self.password else {})}


def told(notice: Notice) -> str:
    """A notice in the reader's language."""
    facts: dict[str, Any] = dict(notice.facts)
    return translate(notice.key, **facts)


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many ended in each result."""
    tally = dict.fromkeys((result.value for result in Result), 0)
    for outcome in outcomes:
        tally[outcome.result.value] += 1
    return tally


def as_csv(outcomes: Iterable[Outcome]) -> bytes:
    """The report as CSV, UTF-8 with BOM so that spreadsheets show Chinese."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for each in outcomes:
        reason = told(each.reason) if each.reason else ""
        notes = "; ".join(told(note) for note in each.notes)
        cells = (each.line, each.kind, each.address, each.result, each.password, reason, notes)
        writer.writerow(
            [cell if name == "password" else _inert(str(cell)) for name, cell in zip(_COLUMNS, cells, strict=True)]
        )
    return text.getvalue().encode("utf-8-sig")


def as_json(outcomes: Iterable[Outcome]) -> bytes:
    """The report as one JSON document."""
    return (json.dumps([each.plain() for each in outcomes], ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


class Journal:
    """The outcomes of a run, appended as they happen; a context manager that leaves the finished report.

    Passwords that an earlier run generated, and could not report any more, are carried
    over. Without a `report` (a dry run) nothing is written.
    """

    def __init__(self, report: Path | None) -> None:
        self.outcomes: list[Outcome] = []
        #: Where the finished report is; an earlier one, with passwords that stand nowhere else, is never replaced.
        self.written: Path | None = None
        self._report = report
        self._partial = report.with_name(report.name + ".partial") if report else None
        self._earlier = dict(_carried(self._partial)) if self._partial else {}

    def __enter__(self) -> Self:
        if self._partial:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            self._file = os.fdopen(os.open(self._partial, flags, 0o600), "a", encoding="utf-8")
            os.fchmod(self._file.fileno(), 0o600)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._report or not self._partial:
            return
        self._file.close()
        if kind is None:
            write = as_json if self._report.suffix.lower() == ".json" else as_csv
            data = write(sorted(self.outcomes, key=lambda each: each.line))
            self.written = _unused(self._report)
            durable_files.replace(self.written, data, 0o600)
            self._partial.unlink()

    def promise(self, address: str, password: str) -> None:
        """Keep a generated password safe before the account is made."""
        self._file.write(json.dumps({"address": address, "password": password}, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._earlier[address.lower()] = password

    def earlier(self, address: str) -> str:
        """The password that was generated for the address, in this run or in one that was cut short; or empty."""
        return self._earlier.get(address.lower(), "")

    def add(self, outcome: Outcome) -> None:
        """Note how a row ended."""
        if outcome.kind is Kind.MAILBOX and outcome.result in (Result.CREATED, Result.EXISTS):
            outcome = replace(outcome, password=self.earlier(outcome.address))
        self.outcomes.append(outcome)


def _unused(path: Path) -> Path:
    """`path`, or with a number in its name when it is taken."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _carried(partial: Path) -> Iterator[tuple[str, str]]:
    """What a run that was cut short had promised."""
    try:
        lines: Sequence[str] = partial.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            facts = json.loads(line)
        except ValueError:
            continue
        yield str(facts["address"]).lower(), str(facts["password"])
