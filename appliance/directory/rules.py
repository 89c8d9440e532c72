"""What the settings say about accounts: default quota, password policy, how long deleted mailboxes are kept.

System values come from the coordination store, a domain's own from its entry;
both are remembered for a few seconds, so that making many mailboxes asks once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

from appliance.cluster import keys
from appliance.cluster.names import GroupName
from appliance.coordination import connect
from appliance.directory import schema as s
from appliance.directory.addresses import DomainName
from appliance.directory.assignment import Rule, assigned
from appliance.directory.connection import DirectoryConnection, Entry, Scope
from appliance.directory.entries import domain_dn
from appliance.directory.passwords import PasswordPolicy
from appliance.errors import BadInput, NotFound
from appliance.settings.layers import SYSTEM, Layer, Owner, account_settings, store_layers
from appliance.settings.parameter import Scope as SettingScope

_REMEMBERED: Final = 5.0
#: Counting the mailboxes of a large group takes seconds.
_COUNTED: Final = 600.0

SystemLayer = Callable[[], Layer]
KnownGroups = Callable[[], Collection[str]]


def stored_system_layer() -> Layer:
    """The system's values in the coordination store. Raises Unavailable."""
    with connect() as store:
        records, _ = store.list(keys.SETTINGS)
    return store_layers(records).get(SYSTEM, Layer(SYSTEM, {}))


def stored_groups() -> Collection[str]:
    """The groups of the coordination store. Raises Unavailable."""
    with connect() as store:
        return {record.key.removeprefix(keys.GROUPS) for record in store.list(keys.GROUPS)[0]}


@dataclass(frozen=True)
class DomainRules:
    """What counts in one domain. `quota` in bytes, 0 without limit."""

    quota: int
    policy: PasswordPolicy
    retention: timedelta
    group_rule: Rule
    groups: tuple[str, ...]


def setting_texts(entry: Entry) -> dict[str, str]:
    """The parameters that an entry holds: name to JSON text."""
    return {name: text for name, _, text in (value.partition("=") for value in entry.texts(s.SETTING))}


class AccountRules:
    """Rules per domain."""

    def __init__(
        self, connection: DirectoryConnection, system: SystemLayer, known_groups: KnownGroups | None = None
    ) -> None:
        self._connection = connection
        self._system = system
        self._known_groups = known_groups
        self._groups: tuple[float, Collection[str]] | None = None
        self._used: dict[str, tuple[float, int]] = {}
        self._known: dict[str, tuple[float, DomainRules]] = {}
        self._layer: tuple[float, Layer] | None = None

    def of(self, domain: DomainName) -> DomainRules:
        """The rules of a domain; raises NotFound when there is none, or it is a domain alias."""
        known = self._known.get(domain.ascii)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        entry = self._connection.read(domain_dn(domain), ("objectClass", s.SETTING))
        if entry is None:
            raise NotFound("domain-unknown", domain=domain.display)
        if s.DOMAIN not in entry.texts("objectClass"):
            raise NotFound("domain-is-alias", domain=domain.display)
        rules = self._rules(Layer(Owner(SettingScope.DOMAIN, domain.ascii), setting_texts(entry)))
        self._known[domain.ascii] = (time.monotonic() + _REMEMBERED, rules)
        return rules

    def of_system(self) -> DomainRules:
        """What counts where no domain says otherwise."""
        return self._rules(None)

    def group_for(self, local: str, domain: DomainName) -> GroupName:
        """The group of a new mailbox by its domain's rule. Raises BadInput, NotFound (the domain)."""
        rules = self.of(domain)
        chosen = assigned(rules.group_rule, rules.groups, local, self._mailboxes_of)
        if rules.group_rule is Rule.LEAST_USED:
            until, number = self._used[chosen]
            self._used[chosen] = (until, number + 1)  # many may be made before it is counted again
        return self.known_group(chosen)

    def known_group(self, name: str) -> GroupName:
        """Return the name of a group that exists; raise BadInput for another: nobody would serve the mailbox."""
        if self._known_groups is not None:
            if self._groups is None or time.monotonic() >= self._groups[0]:
                self._groups = (time.monotonic() + _REMEMBERED, self._known_groups())
            known = self._groups[1]
            if name not in known:
                raise BadInput("group", "mailbox-unknown-group", value=name, known=", ".join(sorted(known)))
        return GroupName(name)

    def _mailboxes_of(self, group: GroupName) -> int:
        """How many mailboxes the group has; counted anew now and then."""
        counted = self._used.get(group)
        if counted is None or time.monotonic() >= counted[0]:
            filter_ = f"(&(objectClass={s.MAILBOX})({s.GROUP}={group}))"
            pages = self._connection.pages(s.DOMAINS, filter_, Scope.SUBTREE, ("1.1",))
            counted = (time.monotonic() + _COUNTED, sum(len(page) for page in pages))
            self._used[group] = counted
        return counted[1]

    def _rules(self, domain: Layer | None) -> DomainRules:
        effective: Mapping[str, object] = account_settings(self._system_layer(), domain)
        values = dict(effective)
        return DomainRules(
            quota=int(str(values["mailbox.quota"])),
            policy=PasswordPolicy.of(values),
            retention=timedelta(seconds=int(str(values["mailbox.deleted_retention"]))),
            group_rule=Rule(str(values["mailbox.group_rule"])),
            groups=tuple(map(str, cast(Sequence[object], values["mailbox.groups"]))),
        )

    def _system_layer(self) -> Layer:
        if self._layer is None or time.monotonic() >= self._layer[0]:
            self._layer = (time.monotonic() + _REMEMBERED, self._system())
        return self._layer[1]
