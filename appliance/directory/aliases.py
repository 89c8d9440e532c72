"""Aliases: addresses that stand for others. Create, show, list, search, change, delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.directory import entries
from appliance.directory import schema as s
from appliance.directory.addresses import (
    Address,
    alias_address,
    any_address,
    description,
    display_name,
    domain_name,
    excerpt,
    target_address,
    unique,
)
from appliance.directory.connection import (
    ChangedMeanwhile,
    Changes,
    DirectoryConnection,
    DirectoryRefused,
    Entry,
    EntryExists,
    EntryMissing,
    Scope,
    ValueExists,
    ValueMissing,
)
from appliance.directory.model import Alias, AliasChange
from appliance.directory.rules import AccountRules
from appliance.errors import AlreadyExists, BadInput, NotFound

#: More recipients than this are a list's business.
MAX_TARGETS: Final = 1000
_SEARCH_SECONDS: Final = 10
#: Targets that one search asks for.
_AT_ONCE: Final = 100
_OBJECT_CLASS_VIOLATION: Final = 65


@dataclass(frozen=True)
class FoundAliases:
    """Aliases that a search found; `complete` is False when there are more."""

    aliases: tuple[Alias, ...]
    complete: bool


class Aliases:
    """The room of aliases."""

    def __init__(self, connection: DirectoryConnection, rules: AccountRules) -> None:
        self._connection = connection
        self._rules = rules

    def create(
        self, address: str, targets: Iterable[str], *, name: str | None = None, remark: str | None = None
    ) -> Alias:
        """Make an alias. Raises BadInput, AlreadyExists (an alias or a mailbox), NotFound (the domain)."""
        made = alias_address(address)
        meant = targets_of(targets, made)
        if not meant:
            raise BadInput("target", "alias-needs-target", address=made.display)
        attributes = entries.new_alias(made, meant, name and display_name(name), remark and description(remark))
        self._rules.of(made.domain)
        self._refuse_loop(made, meant)
        try:
            self._connection.add(entries.address_dn(made), attributes)
        except EntryExists:
            raise AlreadyExists("address-exists", address=made.display) from None
        except EntryMissing:
            raise NotFound("domain-unknown", domain=made.domain.display) from None
        return entries.alias_of(self._read(made))

    def find(self, address: str) -> Alias:
        """Return the alias of this address. Raises BadInput, NotFound."""
        return entries.alias_of(self._read(any_address(address)))

    def all(self, domain: str | None = None) -> Iterator[Alias]:
        """Yield all, or those of one domain, in the directory's order. Raises BadInput, NotFound."""
        filter_ = f"(objectClass={s.ALIAS})" if domain is None else entries.within(domain_name(domain), s.ALIAS)
        for found in self._connection.pages(self._base(domain), filter_, Scope.SUBTREE, entries.ALIAS_ATTRIBUTES):
            yield from map(entries.alias_of, found)

    def search(self, term: str, domain: str | None = None, limit: int = 50) -> FoundAliases:
        """Return aliases with `term` in their address, their name, or exactly as a target. Raises BadInput."""
        found = self._connection.search(
            self._base(domain),
            f"(|{entries.matching(s.ALIAS, term, s.MAIL, s.DISPLAY_NAME)}"
            f"(&(objectClass={s.ALIAS})({s.TARGET}={entries.literal(term.strip())})))",
            Scope.SUBTREE,
            entries.ALIAS_ATTRIBUTES,
            limit=limit,
            seconds=_SEARCH_SECONDS,
        )
        return FoundAliases(tuple(map(entries.alias_of, found.entries)), found.complete)

    def pointing_to(self, address: Address) -> tuple[Alias, ...]:
        """The aliases that have this address among their targets."""
        found = self._connection.search(
            s.DOMAINS, f"({s.TARGET}={entries.literal(str(address))})", Scope.SUBTREE, entries.ALIAS_ATTRIBUTES
        )
        return tuple(map(entries.alias_of, found.entries))

    def unknown_targets(self, alias: Alias) -> tuple[str, ...]:
        """Those of its targets that lie in a domain of ours and exist neither as mailbox nor as alias."""
        return tuple(target for target in alias.targets if self._is_unknown(target_address(target)))

    def change(self, address: str, change: AliasChange) -> Alias:
        """Change an alias. Raises BadInput, NotFound (the alias or a target), AlreadyExists (a target)."""
        named = any_address(address)
        before = entries.alias_of(self._read(named))
        _refuse_bad_targets(named, before, change)
        self._refuse_loop(named, change.add_targets)
        edits = {name: edit for name, edit in entries.alias_changes(change).items() if edit}
        if edits:
            self._modify(named, edits)
        return entries.alias_of(self._read(named))

    def delete(self, address: str) -> Alias:
        """Delete an alias and return what it was. Raises BadInput, NotFound."""
        named = any_address(address)
        found = entries.alias_of(self._read(named))
        try:
            self._connection.delete(entries.address_dn(named))
        except EntryMissing:
            raise NotFound("alias-unknown", address=named.display) from None
        return found

    def _base(self, domain: str | None) -> str:
        if domain is None:
            return s.DOMAINS
        name = domain_name(domain)
        self._rules.of(name)
        return entries.domain_dn(name)

    def _modify(self, named: Address, edits: Changes) -> None:
        try:
            self._connection.modify(entries.address_dn(named), edits)
        except EntryMissing:
            raise NotFound("alias-unknown", address=named.display) from None
        except (ValueMissing, ValueExists):
            raise ChangedMeanwhile("directory-changed-meanwhile", name=named.display) from None
        except DirectoryRefused as refused:
            if refused.code == _OBJECT_CLASS_VIOLATION:
                raise BadInput("target", "alias-needs-target", address=named.display) from None
            raise

    def _read(self, address: Address) -> Entry:
        try:
            found = self._connection.search(
                entries.address_dn(address), f"(objectClass={s.ALIAS})", Scope.BASE, entries.ALIAS_ATTRIBUTES
            )
        except EntryMissing:
            found = None
        if found is None or not found.entries:
            raise NotFound("alias-unknown", address=address.display)
        return found.entries[0]

    def _is_unknown(self, target: Address) -> bool:
        try:
            self._rules.of(target.domain)
        except NotFound:
            return False
        return not self._connection.search(s.DOMAINS, _any_of(_names(target)), attributes=("1.1",), limit=1).entries

    def _refuse_loop(self, alias: Address, targets: Iterable[Address]) -> None:
        """Raise BadInput when mail for the alias would come back to it: Postfix puts such mail off until it is too old.

        Through domain aliases it does not look.
        """
        own = str(alias).lower()
        ahead, seen = {str(target).lower(): target for target in targets}, set[str]()
        while ahead and len(seen) < MAX_TARGETS:
            seen |= ahead.keys()
            known = self._known(list(ahead.values()))
            further: dict[str, Address] = {}
            for target in ahead.values():
                name = next((each for each in _names(target) if each == own or each in known), None)
                if name == own:
                    raise BadInput("target", "alias-loops", address=alias.display, target=excerpt(target.display))
                for each in known[name] if name else ():
                    further[each.lower()] = target_address(each)
            ahead = {name: target for name, target in further.items() if name not in seen}

    def _known(self, targets: Sequence[Address]) -> Mapping[str, tuple[str, ...]]:
        """Where mail for those of these addresses goes that are ours; a mailbox's goes nowhere else."""
        known = {}
        for start in range(0, len(targets), _AT_ONCE):
            names = [name for target in targets[start : start + _AT_ONCE] for name in _names(target)]
            for entry in self._connection.search(s.DOMAINS, _any_of(names), attributes=(s.MAIL, s.TARGET)).entries:
                known[entry.text(s.MAIL) or ""] = entry.texts(s.TARGET)
        return known


def _names(target: Address) -> tuple[str, ...]:
    """Under which names Postfix looks for an address, in its order: itself, without extension, the catch-all."""
    base = f"{target.local.lower().partition('+')[0]}@{target.domain.ascii}"
    return tuple(dict.fromkeys((str(target).lower(), base, f"@{target.domain.ascii}")))


def _any_of(names: Iterable[str]) -> str:
    return f"(|{''.join(f'({s.MAIL}={entries.literal(name)})' for name in dict.fromkeys(names))})"


def targets_of(targets: Iterable[str], alias: Address) -> tuple[Address, ...]:
    """The checked targets of an alias, each once; raises BadInput."""
    meant = unique(target_address(target) for target in targets)
    if len(meant) > MAX_TARGETS:
        raise BadInput("target", "alias-too-many-targets", maximum=MAX_TARGETS, count=len(meant))
    if any(str(target).lower() == str(alias) for target in meant):
        raise BadInput("target", "alias-targets-itself", address=alias.display)
    return meant


def _refuse_bad_targets(named: Address, before: Alias, change: AliasChange) -> None:
    """Say which target stands already or is not there, rather than that one is."""
    have = {target.lower() for target in before.targets}
    for target in change.remove_targets:
        if str(target).lower() not in have:
            raise NotFound("alias-lacks-target", address=named.display, target=excerpt(target.display))
    for target in change.add_targets:
        if str(target).lower() in have:
            raise AlreadyExists("alias-has-target", address=named.display, target=excerpt(target.display))
    after = len(have) + len(change.add_targets) - len(change.remove_targets)
    if after > MAX_TARGETS:
        raise BadInput("target", "alias-too-many-targets", maximum=MAX_TARGETS, count=after)
    if after < 1:
        raise BadInput("target", "alias-needs-target", address=named.display)
