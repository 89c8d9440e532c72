"""Mailboxes: create, show, list, search, change, rename, delete and restore.

Every step is one write of the directory, so nothing half-made stays behind. A deleted
mailbox moves to `ou=deleted` with its identity and home; restoring moves it back;
`purge` moves it on to `ou=purging`, from where nothing returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypedDict, Unpack

from appliance.directory import entries
from appliance.directory import schema as s
from appliance.directory.addresses import (
    Address,
    any_address,
    description,
    display_name,
    domain_name,
    excerpt,
    mailbox_address,
)
from appliance.directory.connection import (
    ChangedMeanwhile,
    Changes,
    DirectoryConnection,
    Edit,
    Entry,
    EntryExists,
    EntryMissing,
    Scope,
    ValueMissing,
)
from appliance.directory.model import FoundMailboxes, Mailbox, MailboxChange, NewMailbox, Status
from appliance.directory.passwords import PasswordPolicy, accepted, hashed, imported
from appliance.directory.rules import AccountRules
from appliance.errors import AlreadyExists, BadInput, NotFound

MAX_QUOTA: Final = 1 << 50
_SEARCH_SECONDS: Final = 10
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Given(TypedDict, total=False):
    """What a new mailbox may be given. `quota` in bytes, None: the domain's default; a clear password or a hash."""

    password: str | None
    password_hash: str | None
    name: str | None
    quota: int | None
    remark: str | None
    status: Status
    refuse_mail: bool
    group: str | None


class Mailboxes:
    """The room of mailboxes."""

    def __init__(self, connection: DirectoryConnection, rules: AccountRules) -> None:
        self._connection = connection
        self._rules = rules

    def wanted(self, address: str, **given: Unpack[Given]) -> NewMailbox:
        """Check what a mailbox is to be, and hash its password. Raises BadInput, NotFound (the domain)."""
        checked, finish = self.unhashed(address, **given)
        return replace(checked, password=finish())

    def unhashed(self, address: str, **given: Unpack[Given]) -> tuple[NewMailbox, Callable[[], str | None]]:
        """The same without hashing, which is left to the function returned: it may run in another thread."""
        made = mailbox_address(address)
        rules = self._rules.of(made.domain)
        quota, name, remark = given.get("quota"), given.get("name"), given.get("remark")
        checked = NewMailbox(
            address=made,
            quota=rules.quota if quota is None else checked_quota(quota),
            name=name and display_name(name),
            description=remark and description(remark),
            status=given.get("status", Status.ACTIVE),
            refuse_mail=given.get("refuse_mail", False),
            group=self._group(given.get("group"), made),
        )
        return checked, _password(given.get("password"), given.get("password_hash"), rules.policy, made)

    def _group(self, given: str | None, address: Address) -> str:
        if given is None:
            return self._rules.group_for(address.local, address.domain)
        return self._rules.known_group(given)

    def may_be_made(self, address: str) -> None:
        """Refuse an address that cannot become a mailbox. Raises BadInput, NotFound (the domain), AlreadyExists."""
        made = mailbox_address(address)
        self._rules.of(made.domain)
        if self._connection.read(entries.address_dn(made), ("1.1",)) is not None:
            raise AlreadyExists("address-exists", address=made.display)

    def create(self, wanted: NewMailbox) -> Mailbox:
        """Make a mailbox. Raises AlreadyExists (a mailbox or an alias), NotFound (the domain)."""
        dn, attributes = entries.new_mailbox(wanted, datetime.now(UTC))
        try:
            self._connection.add(dn, attributes)
        except EntryExists:
            raise AlreadyExists("address-exists", address=wanted.address.display) from None
        except EntryMissing:
            raise NotFound("domain-unknown", domain=wanted.address.domain.display) from None
        return entries.mailbox_of(self._read(wanted.address))

    def find(self, address: str) -> Mailbox:
        """Return the mailbox of an address. Raises BadInput, NotFound."""
        return entries.mailbox_of(self._read(any_address(address)))

    def find_id(self, mailbox_id: str, address: str) -> Mailbox | None:
        """The mailbox with that identity, deleted or not; None: nothing is known of it. `address`: what it had once.

        One that has another address now is looked for in the whole directory.
        """
        with suppress(NotFound, BadInput):
            found_there = self.find(address)
            if found_there.id == mailbox_id:
                return found_there
        filter_ = f"(&(objectClass={s.MAILBOX})({s.ID}={entries.literal(mailbox_id)}))"
        found = self._connection.search(s.SUFFIX, filter_, Scope.SUBTREE, entries.MAILBOX_ATTRIBUTES)
        return entries.mailbox_of(found.entries[0]) if found.entries else None

    def replicated(self) -> bool:
        """Wait until what was written here is safe from the loss of a server; False: nobody else has it in time."""
        return self._connection.confirm()

    def all(self, domain: str | None = None, *, page: int | None = None) -> Iterator[Mailbox]:
        """Yield all, or those of one domain, in the directory's order. Raises BadInput, NotFound.

        `page`: how many are asked of the directory at a time; who shows pages gives their size.
        """
        filter_ = f"(objectClass={s.MAILBOX})" if domain is None else entries.within(domain_name(domain), s.MAILBOX)
        pages = self._connection.pages(
            self._base(domain), filter_, Scope.SUBTREE, entries.MAILBOX_ATTRIBUTES, size=page
        )
        for found in pages:
            yield from map(entries.mailbox_of, found)

    def search(self, term: str, domain: str | None = None, limit: int = 50) -> FoundMailboxes:
        """Return mailboxes with `term` in their address or name. Raises BadInput, NotFound (the domain)."""
        found = self._connection.search(
            self._base(domain),
            entries.matching(s.MAILBOX, term, s.MAIL, s.DISPLAY_NAME),
            Scope.SUBTREE,
            entries.MAILBOX_ATTRIBUTES,
            limit=limit,
            seconds=_SEARCH_SECONDS,
        )
        return FoundMailboxes(tuple(map(entries.mailbox_of, found.entries)), found.complete)

    def change(self, address: str, change: MailboxChange) -> Mailbox:
        """Change a mailbox. Raises BadInput, NotFound."""
        named = any_address(address)
        if isinstance(change.quota, int):
            checked_quota(change.quota)
        self._read(named)
        edits = entries.mailbox_changes(change)
        if edits:
            self._modify(named, edits)
        return entries.mailbox_of(self._read(named))

    def set_password(self, address: str, *, password: str | None = None, password_hash: str | None = None) -> None:
        """Set a password, given clear or as `{SCHEME}hash`. Raises BadInput, NotFound."""
        named = any_address(address)
        self._read(named)
        stored = _password(password, password_hash, self._rules.of(named.domain).policy, named)()
        assert stored is not None, "a password or a hash"
        now = entries.time_text(datetime.now(UTC))
        self._modify(named, {s.PASSWORD: [(Edit.REPLACE, [stored])], s.PASSWORD_CHANGED_AT: [(Edit.REPLACE, [now])]})

    def note_unknown_usage(self, address: str) -> None:
        """Let the mail flow ask for the mailbox's usage until its next delivery has shown it. Raises NotFound."""
        self._modify(any_address(address), {s.QUOTA_STATE: [(Edit.REPLACE, [s.NEAR])]})

    def hold(self, mailbox: Mailbox, target: str) -> None:
        """From now on nobody changes what the mailbox holds, until `move` or `let_go`. Raises NotFound."""
        self._modify(any_address(mailbox.address), {s.MOVING: [(Edit.REPLACE, [target])]})

    def let_go(self, mailbox: Mailbox) -> None:
        """End a hold; the mailbox is where it is. Raises NotFound."""
        self._modify(any_address(mailbox.address), {s.MOVING: [(Edit.REPLACE, [])]})

    def move(self, mailbox: Mailbox, target: str) -> None:
        """Give a held mailbox to `target`, which holds it from now on: until `let_go`, when the switch is safe.

        Raises ChangedMeanwhile when the hold was ended or the mailbox moved by somebody else, NotFound.
        """
        edits: Changes = {
            s.GROUP: [(Edit.DELETE, [mailbox.group]), (Edit.ADD, [target])],
            s.MOVING: [(Edit.DELETE, [target]), (Edit.ADD, [target])],  # only if the hold still stands
        }
        try:
            self._modify(any_address(mailbox.address), edits)
        except ValueMissing:
            raise ChangedMeanwhile("move-hold-lost", address=mailbox.address) from None

    def confirm_group(self, mailbox: Mailbox, group: str) -> None:
        """Have the directory's writer say that the mailbox is in the group, which a copy may not know yet.

        Raises ChangedMeanwhile when it is in another, NotFound.
        """
        try:
            self._modify(any_address(mailbox.address), {s.GROUP: [(Edit.DELETE, [group]), (Edit.ADD, [group])]})
        except ValueMissing:
            raise ChangedMeanwhile("move-hold-lost", address=mailbox.address) from None

    def held(self, group: str) -> Iterator[Mailbox]:
        """Yield the mailboxes of a group that are about to move."""
        filter_ = f"(&(objectClass={s.MAILBOX})({s.GROUP}={entries.literal(group)})({s.MOVING}=*))"
        for page in self._connection.pages(s.DOMAINS, filter_, Scope.SUBTREE, entries.MAILBOX_ATTRIBUTES):
            yield from map(entries.mailbox_of, page)

    def rename(self, address: str, new: str) -> Mailbox:
        """Give a mailbox another address; identity, mail and password stay.

        Raises BadInput, NotFound (the mailbox, the domain), AlreadyExists.
        """
        old, meant = any_address(address), mailbox_address(new, "new_address")
        before = entries.mailbox_of(self._read(old))
        self._rules.of(meant.domain)
        if old == meant:
            return before
        # The old address goes on record first: who watches for changes has to hear of both.
        self._modify(old, _names(str(old), {*before.logins, *entries.logins(meant)}))
        try:
            self._connection.rename(
                entries.address_dn(old), entries.address_rdn(meant), entries.domain_dn(meant.domain)
            )
        except (EntryExists, EntryMissing) as refused:
            self._modify(old, _names(before.previous_address, set(before.logins)))
            if isinstance(refused, EntryExists):
                raise AlreadyExists("address-exists", address=meant.display) from None
            raise NotFound("domain-unknown", domain=meant.domain.display) from None
        if set(before.logins) - set(entries.logins(meant)):
            self._modify(meant, _names(str(old), set(entries.logins(meant))))
        return entries.mailbox_of(self._read(meant))

    def delete(self, address: str) -> Mailbox:
        """Delete a mailbox; its mail stays until it is purged. Raises BadInput, NotFound."""
        before = self.find(address)
        self.bury(before)
        return entries.mailbox_of(self._lying(s.DELETED, before.id))

    def bury(self, mailbox: Mailbox) -> None:
        """The same for a mailbox that was just read. Raises NotFound."""
        named = any_address(mailbox.address)
        self._modify(named, {s.DELETED_AT: [(Edit.REPLACE, [entries.time_text(datetime.now(UTC))])]})
        try:
            self._connection.rename(
                entries.address_dn(named), entries.deleted_rdn(mailbox.id), s.DELETED, keep_old=True
            )
        except EntryMissing:
            raise NotFound("mailbox-unknown", address=named.display) from None

    def deleted(self, domain: str | None = None) -> Iterator[Mailbox]:
        """Yield deleted mailboxes whose mail is kept."""
        filter_ = f"(objectClass={s.MAILBOX})"
        if domain is not None:
            filter_ = entries.within(domain_name(domain), s.MAILBOX)
        for page in self._connection.pages(s.DELETED, filter_, Scope.CHILDREN, entries.MAILBOX_ATTRIBUTES):
            yield from map(entries.mailbox_of, page)

    def find_deleted(self, name: str) -> Mailbox:
        """Return a deleted mailbox by its identity, or by its address if only one had it. Raises BadInput, NotFound."""
        plain = name.strip().lower()
        if _ID.fullmatch(plain):
            return entries.mailbox_of(self._lying(s.DELETED, plain))
        address = any_address(name)
        found = self._connection.search(
            s.DELETED,
            f"({s.MAIL}={entries.literal(str(address))})",
            Scope.CHILDREN,
            entries.MAILBOX_ATTRIBUTES,
        )
        if not found.entries:
            raise NotFound("mailbox-not-deleted", address=address.display)
        if len(found.entries) > 1:
            known = ", ".join(sorted(str(entry.text(s.ID)) for entry in found.entries))
            raise BadInput("address", "mailbox-several-deleted", address=address.display, ids=known)
        return entries.mailbox_of(found.entries[0])

    def restore(self, name: str) -> Mailbox:
        """Bring a deleted mailbox back under its address, with its mail and password.

        Raises BadInput, NotFound (the mailbox, the domain), AlreadyExists (the address is taken).
        """
        mailbox = self.find_deleted(name)
        address = any_address(mailbox.address)
        self._rules.of(address.domain)
        try:
            self._connection.rename(
                f"{entries.deleted_rdn(mailbox.id)},{s.DELETED}",
                entries.address_rdn(address),
                entries.domain_dn(address.domain),
                keep_old=True,
            )
        except EntryExists:
            raise AlreadyExists("address-exists", address=address.display) from None
        except EntryMissing:
            raise NotFound("mailbox-not-deleted", address=address.display) from None
        self._modify(address, {s.DELETED_AT: [(Edit.REPLACE, [])]})
        return entries.mailbox_of(self._read(address))

    def doom(self, mailbox: Mailbox) -> bool:
        """Move a deleted mailbox to where nothing returns from; False when it has been restored or purged meanwhile."""
        try:
            self._connection.rename(
                f"{entries.deleted_rdn(mailbox.id)},{s.DELETED}", entries.deleted_rdn(mailbox.id), s.PURGING
            )
        except EntryMissing:
            return False
        return True

    def doomed(self, group: str) -> Iterator[Mailbox]:
        """Yield the mailboxes of a group whose mail is being removed."""
        filter_ = f"(&(objectClass={s.MAILBOX})({s.GROUP}={entries.literal(group)}))"
        for page in self._connection.pages(s.PURGING, filter_, Scope.CHILDREN, entries.MAILBOX_ATTRIBUTES):
            yield from map(entries.mailbox_of, page)

    def forget(self, mailbox: Mailbox) -> None:
        """Delete the entry of a mailbox whose mail is gone."""
        try:
            self._connection.delete(f"{entries.deleted_rdn(mailbox.id)},{s.PURGING}")
        except EntryMissing:
            return

    def _base(self, domain: str | None) -> str:
        if domain is None:
            return s.DOMAINS
        name = domain_name(domain)
        self._rules.of(name)
        return entries.domain_dn(name)

    def _modify(self, address: Address, edits: Changes) -> None:
        try:
            self._connection.modify(entries.address_dn(address), edits)
        except EntryMissing:
            raise NotFound("mailbox-unknown", address=address.display) from None

    def _read(self, address: Address) -> Entry:
        try:
            found = self._connection.search(
                entries.address_dn(address), f"(objectClass={s.MAILBOX})", Scope.BASE, entries.MAILBOX_ATTRIBUTES
            )
        except EntryMissing:
            found = None
        if found is None or not found.entries:
            raise NotFound("mailbox-unknown", address=address.display)
        return found.entries[0]

    def _lying(self, container: str, mailbox_id: str) -> Entry:
        entry = self._connection.read(f"{entries.deleted_rdn(mailbox_id)},{container}", entries.MAILBOX_ATTRIBUTES)
        if entry is None:
            raise NotFound("mailbox-not-deleted", address=excerpt(mailbox_id))
        return entry


def checked_quota(quota: int) -> int:
    """Return a quota in bytes; raise BadInput unless it is between 0 (without limit) and 1 PiB."""
    if not 0 <= quota <= MAX_QUOTA:
        raise BadInput("quota", "mailbox-bad-quota", maximum="1P", value=quota)
    return quota


def _password(
    password: str | None, stored: str | None, policy: PasswordPolicy, address: Address
) -> Callable[[], str | None]:
    """Check a password, or a hash, now; what is returned gives the hash."""
    if stored is not None:
        taken = imported(stored)
        return lambda: taken
    if password is None:
        return lambda: None
    plain = accepted(password, policy, address)
    return lambda: hashed(plain, policy)


def _names(previous: str | None, logins: set[str]) -> Changes:
    return {
        s.PREVIOUS_MAIL: [(Edit.REPLACE, [previous] if previous else [])],
        s.LOGIN: [(Edit.REPLACE, sorted(logins))],
    }
