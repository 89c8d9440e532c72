"""Domains and domain aliases: create, show, list, search, change, delete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.directory import entries
from appliance.directory import schema as s
from appliance.directory.addresses import DomainName, description, domain_name
from appliance.directory.connection import (
    Attributes,
    DirectoryConnection,
    EntryExists,
    EntryMissing,
    EntryNotEmpty,
    Scope,
)
from appliance.directory.model import Domain, DomainAlias, DomainChange, Status
from appliance.errors import AlreadyExists, BadInput, NotFound, PosthouseError

_SEARCH_SECONDS: Final = 10
#: Counting reads every entry; above this the number is not worth its cost.
COUNTED: Final = 10_000


class DomainInUse(PosthouseError):
    """A domain that is to be deleted still holds something, or is stood for by domain aliases."""


@dataclass(frozen=True)
class Count:
    """How many there are; `exact` is False when there are more than were counted."""

    number: int
    exact: bool


@dataclass(frozen=True)
class FoundDomains:
    """Domains that a search found; `complete` is False when there are more."""

    domains: tuple[Domain | DomainAlias, ...]
    complete: bool


class Domains:
    """The room of domains."""

    def __init__(self, connection: DirectoryConnection) -> None:
        self._connection = connection

    def create(self, name: str, remark: str | None = None) -> Domain:
        """Make a domain. Raises BadInput, AlreadyExists."""
        domain = domain_name(name)
        self._add(domain, entries.new_domain(domain, remark and description(remark)))
        return Domain(domain.ascii, domain.display, Status.ACTIVE, False, remark)

    def create_alias(self, name: str, target: str, remark: str | None = None) -> DomainAlias:
        """Make `name` stand for the domain `target`. Raises BadInput, AlreadyExists, NotFound (the target)."""
        domain, meant = domain_name(name), domain_name(target, "target")
        if domain == meant:
            raise BadInput("target", "domain-alias-of-itself", domain=domain.display)
        self._target(meant)
        self._add(domain, entries.new_domain_alias(domain, meant, remark and description(remark)))
        try:
            self._target(meant)  # it may have been deleted at the same moment
        except NotFound:
            self._connection.delete(entries.domain_dn(domain))
            raise
        return DomainAlias(domain.ascii, domain.display, meant.ascii, remark)

    def find(self, name: str) -> Domain | DomainAlias:
        """Return the domain or domain alias of this name. Raises BadInput, NotFound."""
        domain = domain_name(name)
        entry = self._connection.read(entries.domain_dn(domain), entries.DOMAIN_ATTRIBUTES)
        if entry is None:
            raise NotFound("domain-unknown", domain=domain.display)
        return entries.domain_of(entry)

    def all(self) -> Iterator[Domain | DomainAlias]:
        """Yield all in the directory's order."""
        for page in self._connection.pages(
            s.DOMAINS, f"({s.ASSOCIATED_DOMAIN}=*)", Scope.CHILDREN, entries.DOMAIN_ATTRIBUTES
        ):
            yield from map(entries.domain_of, page)

    def search(self, term: str, limit: int = 50) -> FoundDomains:
        """Return domains with `term` in their name as stored or as displayed. Raises BadInput."""
        found = self._connection.search(
            s.DOMAINS,
            entries.matching("*", term, s.ASSOCIATED_DOMAIN, s.DOMAIN_NAME),
            Scope.CHILDREN,
            entries.DOMAIN_ATTRIBUTES,
            limit=limit,
            seconds=_SEARCH_SECONDS,
        )
        return FoundDomains(tuple(map(entries.domain_of, found.entries)), found.complete)

    def change(self, name: str, change: DomainChange) -> Domain:
        """Change a domain. Raises BadInput, NotFound."""
        domain = domain_name(name)
        self._target(domain)
        edits = entries.domain_changes(change)
        if edits:
            try:
                self._connection.modify(entries.domain_dn(domain), edits)
            except EntryMissing:
                raise NotFound("domain-unknown", domain=domain.display) from None
        return self._target(domain)

    def delete(self, name: str) -> None:
        """Delete a domain alias, or a domain that holds nothing. Raises BadInput, NotFound, DomainInUse."""
        domain = domain_name(name)
        aliases = self.aliases_of(domain)
        if aliases:
            names = ", ".join(alias.display for alias in aliases)
            raise DomainInUse("domain-has-aliases", domain=domain.display, aliases=names)
        try:
            self._connection.delete(entries.domain_dn(domain))
        except EntryMissing:
            raise NotFound("domain-unknown", domain=domain.display) from None
        except EntryNotEmpty:
            raise DomainInUse("domain-not-empty", domain=domain.display) from None

    def close(self, domain: DomainName) -> None:
        """Before a domain is emptied: nobody logs in, no mail arrives."""
        self._connection.modify(
            entries.domain_dn(domain),
            entries.domain_changes(DomainChange(status=Status.DISABLED, refuse_mail=True)),
        )

    def aliases_of(self, domain: DomainName) -> tuple[DomainAlias, ...]:
        """The domain aliases that stand for a domain."""
        found = self._connection.search(
            s.DOMAINS,
            f"({s.ALIASED_DOMAIN}={entries.literal(domain.ascii)})",
            Scope.CHILDREN,
            entries.DOMAIN_ATTRIBUTES,
        )
        known = map(entries.domain_of, found.entries)
        return tuple(alias for alias in known if isinstance(alias, DomainAlias))

    def count(self, domain: DomainName, kind: str, at_most: int = COUNTED) -> Count:
        """Count the mailboxes (`schema.MAILBOX`) or aliases (`schema.ALIAS`) of a domain."""
        found = self._connection.search(
            entries.domain_dn(domain), entries.within(domain, kind), Scope.CHILDREN, ("1.1",), limit=at_most
        )
        return Count(len(found.entries), found.complete)

    def _target(self, domain: DomainName) -> Domain:
        found = self.find(domain.ascii)
        if isinstance(found, DomainAlias):
            raise NotFound("domain-is-alias", domain=domain.display)
        return found

    def _add(self, domain: DomainName, attributes: Attributes) -> None:
        try:
            self._connection.add(entries.domain_dn(domain), attributes)
        except EntryExists:
            raise AlreadyExists("domain-exists", domain=domain.display) from None
