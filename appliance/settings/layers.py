"""Effective values: inheritance over layers, with the origin of each value. Pure.

A layer is the stored values of one owner at one scope; layers come weakest first:
system <- node <- group for engines, system <- domain <- mailbox for accounts. A
stored value that no longer parses, or stands at a scope where it may not, must
never stop a service: the next weaker layer counts, and the refusal is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName
from appliance.coordination.store import Record
from appliance.errors import BadInput
from appliance.settings.parameter import EVERYWHERE, Parameter, Scope
from appliance.settings.registry import PARAMETERS, broken_rules


@dataclass(frozen=True)
class Owner:
    """Whose values: a scope and the owner's name (EVERYWHERE for the system)."""

    scope: Scope
    name: str = EVERYWHERE


SYSTEM = Owner(Scope.SYSTEM)
_SCOPES = frozenset(scope.value for scope in Scope)


@dataclass(frozen=True)
class Layer:
    """The stored JSON texts of one owner, by parameter name."""

    owner: Owner
    texts: Mapping[str, str]


@dataclass(frozen=True)
class RefusedValue:
    """A stored value that is not used, and why; `name` may be unknown to this release."""

    owner: Owner
    name: str
    error: BadInput

    def __str__(self) -> str:
        return f"{self.owner.scope}/{self.owner.name}: {self.error}"


@dataclass(frozen=True)
class Effective:
    """The value of a parameter, where it comes from (None: the default), and stored values that were passed over."""

    value: Any
    origin: Owner | None = None
    refused: tuple[RefusedValue, ...] = ()


def effective(parameter: Parameter, layers: Sequence[Layer]) -> Effective:
    """Return the value of the strongest layer (the last) that holds a valid one, else the default."""
    refused: list[RefusedValue] = []
    for layer in reversed(layers):
        stored = layer.texts.get(parameter.name)
        if stored is None:
            continue
        try:
            return Effective(load(parameter, layer.owner.scope, stored), layer.owner, tuple(refused))
        except BadInput as error:
            refused.append(RefusedValue(layer.owner, parameter.name, error))
    return Effective(parameter.default, None, tuple(refused))


def load(parameter: Parameter, scope: Scope, stored: str) -> Any:
    """Return a stored value; raise BadInput when it is invalid or may not stand at `scope`."""
    if scope not in parameter.scopes:
        raise wrong_scope(parameter, scope)
    return parameter.load(stored)


def wrong_scope(parameter: Parameter, scope: Scope) -> BadInput:
    """The error that says which scopes `parameter` can be set for."""
    return BadInput(parameter.name, "setting-wrong-scope", scope=scope.value, scopes=", ".join(parameter.scopes))


@dataclass(frozen=True)
class EffectiveSettings(Mapping[str, Any]):
    """Every parameter's effective value by name, and what had to be passed over to get there.

    `broken` are rules between parameters that the values break; the values are in use all the same.
    """

    values_by_name: Mapping[str, Any]
    refused: tuple[RefusedValue, ...] = ()
    broken: tuple[BadInput, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)


def resolve(layers: Sequence[Layer]) -> EffectiveSettings:
    """The effective value of every parameter over `layers`, weakest first."""
    found = {name: effective(parameter, layers) for name, parameter in PARAMETERS.items()}
    values = {name: each.value for name, each in found.items()}
    refused = tuple(refusal for each in found.values() for refusal in each.refused)
    return EffectiveSettings(values, refused, tuple(broken_rules(values)))


def store_layers(records: Iterable[Record]) -> dict[Owner, Layer]:
    """Sort records below keys.SETTINGS by owner. Keys of a scope this release does not know are skipped."""
    texts: dict[Owner, dict[str, str]] = {}
    for record in records:
        scope, _, rest = record.key.removeprefix(keys.SETTINGS).partition("/")
        owner, slash, name = rest.partition("/")
        if slash and scope in _SCOPES:
            texts.setdefault(Owner(Scope(scope), owner), {})[name] = record.value
    return {owner: Layer(owner, values) for owner, values in texts.items()}


def chosen(layers: Mapping[Owner, Layer], owners: Iterable[Owner]) -> list[Layer]:
    """The layers of `owners` in their order; empty ones for owners that have no values."""
    return [layers.get(owner, Layer(owner, {})) for owner in owners]


def engine_settings(records: Iterable[Record], node: NodeName, group: GroupName) -> EffectiveSettings:
    """What engines of `group` on `node` go by: raw records of the store in, effective values out.

    Account parameters are among them with their system value (Dovecot's defaults rest on it).
    """
    owners = (SYSTEM, Owner(Scope.NODE, node), Owner(Scope.GROUP, group))
    return resolve(chosen(store_layers(records), owners))


def account_settings(system: Layer, domain: Layer | None = None, mailbox: Layer | None = None) -> EffectiveSettings:
    """What a domain or a mailbox goes by: system <- domain <- mailbox."""
    return resolve([layer for layer in (system, domain, mailbox) if layer is not None])
