"""What the settings say about accounts: default quota, password policy, how long deleted mailboxes are kept.

System values come from the coordination store, a domain's own from its entry;
both are remembered for a few seconds, so that making many mailboxes asks once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from appliance.cluster import keys
from appliance.coordination import connect
from appliance.directory import schema as s
from appliance.directory.addresses import DomainName
from appliance.directory.connection import DirectoryConnection, Entry
from appliance.directory.entries import domain_dn
from appliance.directory.passwords import PasswordPolicy
from appliance.errors import NotFound
from appliance.settings.layers import SYSTEM, Layer, Owner, account_settings, store_layers
from appliance.settings.parameter import Scope

_REMEMBERED: Final = 5.0

SystemLayer = Callable[[], Layer]


def stored_system_layer() -> Layer:
    """The system's values in the coordination store. Raises Unavailable."""
    with connect() as store:
        records, _ = store.list(keys.SETTINGS)
    return store_layers(records).get(SYSTEM, Layer(SYSTEM, {}))


@dataclass(frozen=True)
class DomainRules:
    """What counts in one domain. `quota` in bytes, 0 without limit."""

    quota: int
    policy: PasswordPolicy
    retention: timedelta


def setting_texts(entry: Entry) -> dict[str, str]:
    """The parameters that an entry holds: name to JSON text."""
    return {name: text for name, _, text in (value.partition("=") for value in entry.texts(s.SETTING))}


class AccountRules:
    """Rules per domain."""

    def __init__(self, connection: DirectoryConnection, system: SystemLayer) -> None:
        self._connection = connection
        self._system = system
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
        rules = self._rules(Layer(Owner(Scope.DOMAIN, domain.ascii), setting_texts(entry)))
        self._known[domain.ascii] = (time.monotonic() + _REMEMBERED, rules)
        return rules

    def of_system(self) -> DomainRules:
        """What counts where no domain says otherwise."""
        return self._rules(None)

    def _rules(self, domain: Layer | None) -> DomainRules:
        effective: Mapping[str, object] = account_settings(self._system_layer(), domain)
        values = dict(effective)
        return DomainRules(
            quota=int(str(values["mailbox.quota"])),
            policy=PasswordPolicy.of(values),
            retention=timedelta(seconds=int(str(values["mailbox.deleted_retention"]))),
        )

    def _system_layer(self) -> Layer:
        if self._layer is None or time.monotonic() >= self._layer[0]:
            self._layer = (time.monotonic() + _REMEMBERED, self._system())
        return self._layer[1]
