"""Putting accounts into the directory, each row by itself: created, exists, or refused and why.

An account that exists already is left as it is; what a row asks for besides (its
aliases) is still made, so that a run that was cut short is completed by the next.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

from appliance.cluster.report import Notice
from appliance.directory import passwords
from appliance.directory.model import NewMailbox
from appliance.errors import AlreadyExists, BadInput, PosthouseError, Unavailable
from appliance.migration.accounts.hashes import Password
from appliance.migration.accounts.outcome import Journal, Kind, Outcome, Result
from appliance.migration.accounts.record import Account, BadRow, Row, RowRefused

#: Rows whose passwords are hashed at once.
_AHEAD: Final = 64


class Destination(Protocol):
    """Where accounts go: the directory, or in a dry run something that only checks. All of it may raise Unavailable."""

    def has_domain(self, domain: str) -> bool:
        """Whether the domain exists. Raises BadInput for what is no domain."""

    def create_domain(self, domain: str) -> None:
        """Make a domain."""

    def has_mailbox(self, address: str) -> bool:
        """Whether the address is a mailbox. Raises BadInput for what is no address."""

    def prepare(self, account: Account, password: Password | None) -> Callable[[], NewMailbox]:
        """Check a mailbox that is wanted; the function returned hashes, in any thread. Raises BadInput, NotFound."""

    def create_mailbox(self, wanted: NewMailbox) -> None:
        """Make a mailbox. Raises AlreadyExists, NotFound (its domain)."""

    def create_alias(self, address: str, targets: tuple[str, ...]) -> None:
        """Make an alias. Raises AlreadyExists, NotFound (its domain), BadInput."""

    def alias_covers(self, address: str, targets: tuple[str, ...]) -> bool:
        """Whether the address is an alias that has these targets."""


@dataclass(frozen=True)
class Wishes:
    """What the operator asked for. `skip_without_password`: make no account whose password cannot be kept.

    `dry_run`: passwords that would be generated are not told, because they are nobody's.
    """

    create_domains: bool = False
    skip_without_password: bool = False
    dry_run: bool = False


@dataclass
class _Begun:
    """A row whose mailbox is on its way: decided already, or being hashed."""

    row: Account
    decided: Outcome | None = None
    hashing: Future[NewMailbox] | None = None
    notes: list[Notice] = field(default_factory=list)


class Importer:
    """Brings rows in. Only a directory that does not answer stops it; what is done by then stays and is reported."""

    def __init__(self, destination: Destination, journal: Journal, wishes: Wishes) -> None:
        self._destination = destination
        self._journal = journal
        self._wishes = wishes
        self._lines: dict[str, int] = {}
        self._domains: set[str] = set()

    def bring(self, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Yield each row's outcomes as they happen. Raises Unavailable."""
        source = iter(rows)
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="hash") as pool:
            while chunk := list(islice(source, _AHEAD)):
                for outcome in self._chunk(chunk, pool):
                    self._journal.add(outcome)
                    yield self._journal.outcomes[-1]

    def _chunk(self, chunk: list[Row], pool: ThreadPoolExecutor) -> Iterator[Outcome]:
        begun: list[_Begun] = []
        for row in chunk:
            problem = self._problem(row)
            if problem is not None:
                yield Outcome.refused(row.line, Kind.MAILBOX, row.address, problem)
                continue
            assert isinstance(row, Account)
            for address in (row.address, *row.aliases) if self._wishes.create_domains else ():
                yield from self._domain(row.line, address.rpartition("@")[2].lower())
            begun.append(self._begin(row, pool))
        for each in begun:
            yield from self._end(each)

    def _problem(self, row: Row) -> PosthouseError | None:
        """What was wrong with the row before the directory is asked."""
        if isinstance(row, BadRow):
            return row.problem
        before = self._lines.setdefault(row.address.lower(), row.line)
        if before != row.line:
            return RowRefused("migrate-row-twice", value=row.address, first=before)
        return None

    def _domain(self, line: int, domain: str) -> Iterator[Outcome]:
        """Make a domain when it is first met and missing."""
        if domain in self._domains:
            return
        self._domains.add(domain)
        try:
            if not self._destination.has_domain(domain):
                self._destination.create_domain(domain)
                yield Outcome(line, Kind.DOMAIN, domain, Result.CREATED)
        except Unavailable:
            raise
        except PosthouseError as problem:
            yield Outcome.refused(line, Kind.DOMAIN, domain, problem)

    def _begin(self, row: Account, pool: ThreadPoolExecutor) -> _Begun:
        """Decide what needs no password; begin to hash where one is to be set."""
        begun = _Begun(row)
        if row.forward_only:
            begun.decided = self._alias(row.line, row.address, row.forwards)
            return begun
        begun.notes = list(_notes(row))
        try:
            if self._destination.has_mailbox(row.address):
                begun.decided = Outcome(row.line, Kind.MAILBOX, row.address, Result.EXISTS)
            else:
                finish = self._prepare(row, begun)
                begun.hashing = pool.submit(finish) if finish else None
        except Unavailable:
            raise
        except PosthouseError as problem:
            begun.decided = Outcome.refused(row.line, Kind.MAILBOX, row.address, problem)
        return begun

    def _prepare(self, row: Account, begun: _Begun) -> Callable[[], NewMailbox] | None:
        """How to hash the row's password, or one that is generated; None when the account is skipped instead."""
        if row.password is not None:
            try:
                return self._destination.prepare(row, row.password)
            except BadInput as problem:
                if problem.field not in (passwords.FIELD, "password_hash"):
                    raise
                begun.notes.append(Notice.of(problem))
        if self._wishes.skip_without_password:
            self._destination.prepare(row, None)
            begun.decided = Outcome(row.line, Kind.MAILBOX, row.address, Result.SKIPPED, notes=tuple(begun.notes))
            return None
        password = self._journal.earlier(row.address) or passwords.generated()
        finish = self._destination.prepare(row, Password(clear=password))
        if not self._wishes.dry_run:
            self._journal.promise(row.address, password)
        return finish

    def _end(self, begun: _Begun) -> Iterator[Outcome]:
        """Make the mailbox, then its aliases."""
        outcome = begun.decided
        if outcome is None:
            assert begun.hashing is not None
            outcome = self._create(begun.row, begun.hashing, tuple(begun.notes))
        yield outcome
        if outcome.result in (Result.CREATED, Result.EXISTS):
            for alias in begun.row.aliases:
                yield self._alias(begun.row.line, alias, (begun.row.address,))

    def _create(self, row: Account, hashing: Future[NewMailbox], notes: tuple[Notice, ...]) -> Outcome:
        try:
            self._destination.create_mailbox(hashing.result())
        except Unavailable:
            raise
        except PosthouseError as problem:
            return Outcome.refused(row.line, Kind.MAILBOX, row.address, problem)
        return Outcome(row.line, Kind.MAILBOX, row.address, Result.CREATED, notes=notes)

    def _alias(self, line: int, address: str, targets: tuple[str, ...]) -> Outcome:
        try:
            self._destination.create_alias(address, targets)
        except AlreadyExists as problem:
            if self._destination.alias_covers(address, targets):
                return Outcome(line, Kind.ALIAS, address, Result.EXISTS)
            return Outcome.refused(line, Kind.ALIAS, address, problem)
        except Unavailable:
            raise
        except PosthouseError as problem:
            return Outcome.refused(line, Kind.ALIAS, address, problem)
        return Outcome(line, Kind.ALIAS, address, Result.CREATED)


def _notes(row: Account) -> Iterator[Notice]:
    if row.password is None:
        if row.weak_scheme:
            yield Notice(key="migrate-weak-hash", facts={"scheme": row.weak_scheme})
        else:
            yield Notice(key="migrate-no-password")
    if row.forwards:
        yield Notice(key="migrate-forward-not-brought", facts={"targets": ", ".join(row.forwards)})
