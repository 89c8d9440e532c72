"""Reading and writing settings: the store for system, node and group, the directory for domain and mailbox.

The command line, the API and `posthouse init` call it. A write is guarded: it
succeeds only if nothing it was checked against has changed in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from appliance.cluster import keys
from appliance.cluster.names import LOCAL_GROUP, group_name, node_name
from appliance.coordination.store import Delete, Field, Guard, Put, Record, Store
from appliance.errors import BadInput, NotFound, PosthouseError
from appliance.settings.layers import (
    SYSTEM,
    Effective,
    Layer,
    Owner,
    chosen,
    effective,
    resolve,
    store_layers,
    wrong_scope,
)
from appliance.settings.parameter import Parameter, Scope
from appliance.settings.registry import CHECKS, PARAMETERS, parameter

_ATTEMPTS = 4
#: Every write touches and guards this key: rules span values of many owners, so writers take turns.
_CHANGES = keys.SETTINGS + "changes"
_ACCOUNT_SCOPES = frozenset({Scope.DOMAIN, Scope.MAILBOX})


class AccountSettings(Protocol):
    """What the directory offers: the stored JSON texts of a domain or a mailbox. Raises NotFound for unknown owners."""

    def settings_of(self, scope: str, owner: str) -> dict[str, str]: ...

    def write_settings(self, scope: str, owner: str, settings: dict[str, str]) -> None: ...


class ChangedMeanwhile(PosthouseError):
    """Other writers changed the settings again and again while this change was checked."""

    exit_code: ClassVar[int] = 75


@dataclass(frozen=True)
class Reading:
    """A parameter as it stands: its effective value, and what each layer holds (None: nothing), weakest first."""

    parameter: Parameter
    effective: Effective
    layers: tuple[tuple[Owner, str | None], ...]


@dataclass(frozen=True)
class Change:
    """What a write did for one owner: the stored value before and after (None: none), and what counts there now."""

    parameter: Parameter
    owner: Owner
    before: str | None
    after: str | None
    effective: Effective

    @property
    def changed(self) -> bool:
        """False when the value stood already."""
        return self.before != self.after


def owners_of(
    node: str | None = None, group: str | None = None, domain: str | None = None, mailbox: str | None = None
) -> tuple[Owner, ...]:
    """The chain of owners that what is named inherits from, weakest first; a mailbox implies its domain.

    Raises BadInput when accounts and nodes or groups are mixed, or a name is malformed.
    """
    if (node or group) and (domain or mailbox):
        raise BadInput("node" if node else "group", "setting-mixed-owners")
    chain = [SYSTEM]
    if node:
        chain.append(Owner(Scope.NODE, node_name(node)))
    if group:
        chain.append(Owner(Scope.GROUP, group_name(group)))
    if domain is None and mailbox:
        domain = mailbox.rpartition("@")[2]
    if domain:
        chain.append(Owner(Scope.DOMAIN, domain))
    if mailbox:
        chain.append(Owner(Scope.MAILBOX, mailbox))
    return tuple(chain)


class SettingsService:
    """Lists, shows, sets and resets values. `accounts` is needed for domains and mailboxes only."""

    def __init__(self, store: Store, accounts: AccountSettings | None = None) -> None:
        self._store = store
        self._accounts = accounts

    def readings(self, owners: tuple[Owner, ...] = (SYSTEM,)) -> list[Reading]:
        """Every parameter for the last of `owners`, inherited over the others."""
        layers = self._layers(owners)
        return [_reading(each, layers) for each in PARAMETERS.values()]

    def reading(self, name: str, owners: tuple[Owner, ...] = (SYSTEM,)) -> Reading:
        """One parameter; raises NotFound when there is no such parameter or owner."""
        return _reading(parameter(name), self._layers(owners))

    def set(self, name: str, text: str, owner: Owner = SYSTEM) -> Change:
        """Store the value that `text` says for `owner`.

        Raises BadInput when the value, the scope or a rule between parameters refuses it.
        """
        found = parameter(name)
        value = found.parse(text)
        if owner.scope not in found.scopes:
            raise wrong_scope(found, owner.scope)
        return self._write(found, owner, found.dump(value))

    def reset(self, name: str, owner: Owner = SYSTEM) -> Change:
        """Remove the value of `owner`, if there is one."""
        return self._write(parameter(name), owner, None)

    def _layers(self, owners: tuple[Owner, ...]) -> list[Layer]:
        for owner in owners:
            self._known(owner)
        records, _ = self._store.list(keys.SETTINGS)
        by_owner = store_layers(records)
        accounts = {
            owner: Layer(owner, self._directory().settings_of(owner.scope, owner.name))
            for owner in owners
            if owner.scope in _ACCOUNT_SCOPES
        }
        return chosen({**by_owner, **accounts}, owners)

    def _known(self, owner: Owner) -> None:
        key = {Scope.NODE: keys.NODES, Scope.GROUP: keys.GROUPS}.get(owner.scope)
        if key is None or owner.name == LOCAL_GROUP:
            return
        if self._store.get(key + owner.name) is None:
            raise NotFound("setting-no-owner", field=owner.scope.value, scope=owner.scope.value, name=owner.name)

    def _directory(self) -> AccountSettings:
        assert self._accounts is not None, "domain and mailbox scope need the directory"
        return self._accounts

    def _write(self, found: Parameter, owner: Owner, text: str | None) -> Change:
        self._known(owner)
        if owner.scope in _ACCOUNT_SCOPES:
            return self._write_account(found, owner, text)
        key = keys.setting(owner.scope, owner.name, found.name)
        for _ in range(_ATTEMPTS):
            records, _ = self._store.list(keys.SETTINGS)
            before = next((record.value for record in records if record.key == key), None)
            old = store_layers(records)
            new = _with(old, owner, found.name, text)
            change = Change(found, owner, before, text, effective(found, chosen(new, _chain(owner))))
            if not change.changed:
                return change
            _refuse_broken_rules(found, old, new)
            guards = [Guard(each, Field.MOD_REVISION, _revision_of(records, each)) for each in (key, _CHANGES)]
            write = Delete(key) if text is None else Put(key, text)
            if self._store.transact(guards, [write, Put(_CHANGES, key)]).succeeded:
                return change
        raise ChangedMeanwhile("setting-changed-meanwhile", field=found.name)

    def _write_account(self, found: Parameter, owner: Owner, text: str | None) -> Change:
        chain = _chain(owner)
        layers = self._layers(chain)
        texts = dict(layers[-1].texts)
        before = texts.pop(found.name, None)
        if text is not None:
            texts[found.name] = text
        now = [*layers[:-1], Layer(owner, texts)]
        change = Change(found, owner, before, text, effective(found, now))
        if change.changed:
            _refuse_broken_rules_of(found, layers, now)
            self._directory().write_settings(owner.scope, owner.name, texts)
        return change


def _chain(owner: Owner) -> tuple[Owner, ...]:
    if owner.scope is Scope.SYSTEM:
        return (SYSTEM,)
    return owners_of(**{owner.scope.value: owner.name})


def _reading(found: Parameter, layers: list[Layer]) -> Reading:
    held = tuple((layer.owner, layer.texts.get(found.name)) for layer in layers)
    return Reading(found, effective(found, layers), held)


def _with(layers: Mapping[Owner, Layer], owner: Owner, name: str, text: str | None) -> dict[Owner, Layer]:
    texts = {**(layers[owner].texts if owner in layers else {})}
    texts.pop(name, None)
    if text is not None:
        texts[name] = text
    return {**layers, owner: Layer(owner, texts)}


def _refuse_broken_rules(found: Parameter, old: Mapping[Owner, Layer], new: Mapping[Owner, Layer]) -> None:
    """Raise the first rule about `found` that `new` breaks somewhere and `old` did not."""
    nodes: list[Owner | None] = [None, *(owner for owner in new if owner.scope is Scope.NODE)]
    groups: list[Owner | None] = [None, *(owner for owner in new if owner.scope is Scope.GROUP)]
    for node in nodes:
        for group in groups:
            owners = [owner for owner in (SYSTEM, node, group) if owner is not None]
            _refuse_broken_rules_of(found, chosen(old, owners), chosen(new, owners))


def _refuse_broken_rules_of(found: Parameter, old: list[Layer], new: list[Layer]) -> None:
    broken_before = {(error.field, error.key) for error in resolve(old).broken}
    rules = {(check.parameters[0], check.key) for check in CHECKS if found.name in check.parameters}
    for error in resolve(new).broken:
        if (error.field, error.key) in rules - broken_before:
            raise error


def _revision_of(records: list[Record], key: str) -> int:
    return next((record.mod_revision for record in records if record.key == key), 0)
