"""Putting accounts into the directory, each row by itself: created, exists, or refused and why.

An account that exists already is left as it is; what a row asks for besides (its
aliases) is still made, so that a run that was cut short is completed by the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from appliance.cluster.report import Notice
from appliance.errors import AlreadyExists, PosthouseError, Unavailable
from appliance.migration.accounts.hashes import Password
from appliance.migration.accounts.outcome import Journal, Kind, Outcome, Result
from appliance.migration.accounts.record import Account, BadRow, Row, RowRefused


class Destination(Protocol):
    """Where accounts go: the directory, or in a dry run something that only checks."""

    def has_domain(self, domain: str) -> bool:
        """Whether the domain exists. Raises BadInput for what is no domain."""

    def create_domain(self, domain: str) -> None:
        """Make a domain."""

    def create_mailbox(self, account: Account, password: Password) -> None:
        """Make a mailbox. Raises AlreadyExists, NotFound (its domain), BadInput."""

    def has_mailbox(self, address: str) -> bool:
        """Whether the address is a mailbox. Raises BadInput for what is no address."""

    def create_alias(self, address: str, targets: tuple[str, ...]) -> None:
        """Make an alias. Raises AlreadyExists, NotFound (its domain), BadInput."""

    def alias_targets(self, address: str) -> frozenset[str] | None:
        """What an alias stands for, None when there is none."""

    def generate_password(self) -> str:
        """A strong password."""


@dataclass(frozen=True)
class Wishes:
    """What the operator asked for. `skip_without_password`: make no account whose password cannot be kept."""

    create_domains: bool = False
    skip_without_password: bool = False


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
        for row in rows:
            for outcome in self._row(row):
                self._journal.add(outcome)
                yield self._journal.outcomes[-1]

    def _row(self, row: Row) -> Iterator[Outcome]:
        if isinstance(row, BadRow):
            yield Outcome.refused(row.line, Kind.MAILBOX, row.address, row.problem)
            return
        before = self._lines.setdefault(row.address.lower(), row.line)
        if before != row.line:
            again = RowRefused("migrate-row-twice", value=row.address, first=before)
            yield Outcome.refused(row.line, Kind.MAILBOX, row.address, again)
            return
        for address in (row.address, *row.aliases) if self._wishes.create_domains else ():
            yield from self._domain(row.line, address.rpartition("@")[2].lower())
        if row.forward_only:
            yield self._alias(row.line, row.address, row.forwards)
        else:
            made = self._mailbox(row)
            yield made
            if made.result not in (Result.CREATED, Result.EXISTS):
                return
        for alias in row.aliases:
            yield self._alias(row.line, alias, (row.address,))

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

    def _mailbox(self, row: Account) -> Outcome:
        try:
            notes = tuple(_notes(row))
            if self._destination.has_mailbox(row.address):
                return Outcome(row.line, Kind.MAILBOX, row.address, Result.EXISTS)
            if row.password is None and self._wishes.skip_without_password:
                return Outcome(row.line, Kind.MAILBOX, row.address, Result.SKIPPED, notes=notes)
            self._destination.create_mailbox(row, row.password or self._generated(row.address))
        except Unavailable:
            raise
        except PosthouseError as problem:
            return Outcome.refused(row.line, Kind.MAILBOX, row.address, problem)
        return Outcome(row.line, Kind.MAILBOX, row.address, Result.CREATED, notes=notes)

    def _generated(self, address: str) -> Password:
        password = self._journal.earlier(address) or self._destination.generate_password()
        self._journal.promise(address, password)
        return Password(clear=password)

    def _alias(self, line: int, address: str, targets: tuple[str, ...]) -> Outcome:
        try:
            self._destination.create_alias(address, targets)
        except AlreadyExists as problem:
            there = self._destination.alias_targets(address)
            if there is not None and there >= {target.lower() for target in targets}:
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
