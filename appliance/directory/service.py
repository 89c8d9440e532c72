"""The directory as the command line, the API and the agent use it: rooms of domains, mailboxes and aliases.

    with DirectoryService.connect() as directory:
        directory.domains.create("example.com")

One service holds one connection and serves one thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Self

from appliance.directory import bulk, entries
from appliance.directory import schema as s
from appliance.directory.addresses import any_address, domain_name
from appliance.directory.aliases import Aliases
from appliance.directory.connection import (
    ChangedMeanwhile,
    DirectoryConnection,
    Edit,
    EntryMissing,
    Scope,
    ValueExists,
    ValueMissing,
    Values,
)
from appliance.directory.domains import Domains
from appliance.directory.mailboxes import Mailboxes
from appliance.directory.routing import connection
from appliance.directory.rules import (
    AccountRules,
    KnownGroups,
    SystemLayer,
    setting_texts,
    stored_groups,
    stored_system_layer,
)
from appliance.errors import NotFound

#: The one parameter with an attribute of its own: Dovecot reads it.
_QUOTA: Final = "mailbox.quota"


class DirectoryService:
    """Everything that is done to the directory. `system` gives the system's settings, `known_groups` the groups that
    a mailbox may be in (None: any); tests give their own."""

    def __init__(
        self,
        connection: DirectoryConnection,
        system: SystemLayer = stored_system_layer,
        known_groups: KnownGroups | None = None,
    ) -> None:
        self._connection = connection
        self._read_before: dict[tuple[str, str], dict[str, str]] = {}
        self.rules = AccountRules(connection, system, known_groups)
        self.domains = Domains(connection)
        self.mailboxes = Mailboxes(connection, self.rules)
        self.aliases = Aliases(connection, self.rules)

    @classmethod
    def connect(cls, uri: str = s.URI) -> Self:
        """The directory, connected to when first used: the node's own, or in a cluster the server that takes writes."""
        return cls(DirectoryConnection(uri) if uri != s.URI else connection(), known_groups=stored_groups)

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.confirm()
        finally:
            self.close()

    def create_mailboxes(self, rows: Iterable[bulk.Row]) -> Iterator[bulk.Outcome]:
        """Make many mailboxes; see `bulk.create_many`."""
        return bulk.create_many(self.mailboxes, self._connection, rows)

    def delete_domain(self, name: str) -> None:
        """Delete a domain with all it holds: mailboxes are deleted as `mailboxes.delete` does, aliases for good.

        The domain refuses logins and mail first. When it fails half-way, doing it again
        completes it. Raises BadInput, NotFound, DomainInUse (somebody keeps adding to it).
        """
        domain = domain_name(name)
        self.domains.find(name)
        for alias in self.domains.aliases_of(domain):
            self.domains.delete(alias.name)
        if self._is_domain(name):
            self.domains.close(domain)
            for mailbox in self.mailboxes.all(name):
                with suppress(NotFound):
                    self.mailboxes.bury(mailbox)
            for address in self.aliases.all(name):
                with suppress(NotFound):
                    self.aliases.delete(address.address)
        self.domains.delete(name)

    def settings_of(self, scope: str, owner: str) -> dict[str, str]:
        """The stored parameters of a domain or a mailbox: name to JSON text. Raises BadInput, NotFound."""
        dn, kind = self._owner(scope, owner)
        try:
            found = self._connection.search(dn, f"(objectClass={kind})", Scope.BASE, (s.SETTING, s.QUOTA))
        except EntryMissing:
            found = None
        if found is None or not found.entries:
            raise NotFound(f"{scope}-unknown", **{"domain" if scope == "domain" else "address": owner})
        texts = setting_texts(found.entries[0])
        if kind == s.MAILBOX:
            texts[_QUOTA] = found.entries[0].text(s.QUOTA) or "0"
        self._read_before[scope, dn] = texts
        return dict(texts)

    def write_settings(self, scope: str, owner: str, settings: Mapping[str, str]) -> None:
        """Make `settings` the stored parameters, where `settings_of` of this service read them before.

        What others changed since is left alone; what both changed raises ChangedMeanwhile.
        """
        dn, kind = self._owner(scope, owner)
        before = self._read_before.pop((scope, dn), None)
        if before is None:
            self.settings_of(scope, owner)
            before = self._read_before.pop((scope, dn))
        edits = self._setting_edits(before, settings, owner if kind == s.MAILBOX else None)
        if not edits:
            return
        try:
            self._connection.modify(dn, edits)
        except (ValueMissing, ValueExists, EntryMissing):
            raise ChangedMeanwhile("directory-changed-meanwhile", name=owner) from None

    def _setting_edits(
        self, before: Mapping[str, str], after: Mapping[str, str], mailbox: str | None
    ) -> dict[str, list[tuple[Edit, Values]]]:
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        edits: dict[str, list[tuple[Edit, Values]]] = {}
        if mailbox is not None and _QUOTA in changed:
            changed.discard(_QUOTA)
            default = self.rules.of(any_address(mailbox).domain).quota
            quota = json.loads(after[_QUOTA]) if _QUOTA in after else default
            edits |= entries.quota_changes(int(quota))
        removed = [f"{name}={before[name]}" for name in sorted(changed) if name in before]
        added = [f"{name}={after[name]}" for name in sorted(changed) if name in after]
        steps = [(Edit.DELETE, removed), (Edit.ADD, added)]
        if removed or added:
            edits[s.SETTING] = [(edit, values) for edit, values in steps if values]
        return edits

    def _owner(self, scope: str, owner: str) -> tuple[str, str]:
        if scope == "domain":
            return entries.domain_dn(domain_name(owner)), s.DOMAIN
        return entries.address_dn(any_address(owner)), s.MAILBOX

    def _is_domain(self, name: str) -> bool:
        entry = self._connection.read(entries.domain_dn(domain_name(name)), ("objectClass",))
        classes: Any = entry.texts("objectClass") if entry else ()
        return s.DOMAIN in classes
