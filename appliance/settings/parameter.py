"""What a parameter is: name, kind with bounds, default, unit, scopes, and how a change takes effect.

Its title and help are the message `setting-SECTION-NAME` and its attribute
`.help` in the `settings.ftl` catalogues.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from appliance.errors import BadInput
from appliance.i18n import translate
from appliance.settings.kinds import Kind, Refusal


class Scope(StrEnum):
    """Who a value is for. The first three live in the coordination store, the other two in the directory."""

    SYSTEM = "system"
    NODE = "node"
    GROUP = "group"
    DOMAIN = "domain"
    MAILBOX = "mailbox"


#: Owner of values for the whole system, where a scope needs no name.
EVERYWHERE = "-"

#: Parameters of engines' configuration: system <- node <- group.
ENGINE = (Scope.SYSTEM, Scope.NODE, Scope.GROUP)
#: Parameters of what a node does for itself: system <- node.
PER_NODE = (Scope.SYSTEM, Scope.NODE)
#: Parameters of accounts: system <- domain <- mailbox.
ACCOUNT = (Scope.SYSTEM, Scope.DOMAIN, Scope.MAILBOX)
#: Parameters of domains: system <- domain.
PER_DOMAIN = (Scope.SYSTEM, Scope.DOMAIN)


class Apply(StrEnum):
    """What a change asks of the running system."""

    NOW = "now"
    RELOAD = "reload"
    RESTART = "restart"
    NEW = "new"


@dataclass(frozen=True)
class Parameter:
    """One parameter, `section.name_with_underscores`. `unit` is a message key of what a number counts."""

    name: str
    kind: Kind
    default: Any
    scopes: tuple[Scope, ...]
    apply: Apply = Apply.RELOAD
    unit: str | None = None

    @property
    def section(self) -> str:
        """The part before the dot."""
        return self.name.partition(".")[0]

    @property
    def text_key(self) -> str:
        """The key of its title; `.help` after it gives its help."""
        return "setting-" + self.name.replace(".", "-").replace("_", "-")

    @property
    def title(self) -> str:
        return translate(self.text_key)

    @property
    def help(self) -> str:
        return translate(self.text_key + ".help")

    @property
    def unit_text(self) -> str:
        """The unit in the reader's language; empty for kinds that carry their own or have none."""
        return translate(self.unit) if self.unit else ""

    def parse(self, text: str) -> Any:
        """Return the value that a person wrote; raise BadInput naming this parameter, the bound and the problem."""
        try:
            return self.kind.parse(text)
        except Refusal as refusal:
            raise BadInput(self.name, refusal.key, **refusal.facts) from None

    def format(self, value: Any) -> str:
        """Write a value as `parse` reads it."""
        return self.kind.format(value)

    def load(self, stored: str) -> Any:
        """Return the value of a stored JSON text; raise BadInput when it is not, or no longer, a valid one."""
        try:
            value = json.loads(stored)
        except (ValueError, RecursionError):
            raise BadInput(self.name, "setting-not-json") from None
        try:
            return self.kind.check(value)
        except Refusal as refusal:
            raise BadInput(self.name, refusal.key, **refusal.facts) from None

    def dump(self, value: Any) -> str:
        """The JSON text of a value as it is stored."""
        return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Check:
    """A rule over several parameters. `holds` gets their values in the order of `parameters`.

    `key` tells what is wrong; its placeables are the parameters' last names (`queue-lifetime` for
    `smtp.queue_lifetime`).
    """

    key: str
    parameters: tuple[str, ...]
    holds: Callable[..., bool]

    def facts(self, formatted: Mapping[str, str]) -> dict[str, str]:
        """The facts of `key` from formatted values by parameter name."""
        return {name.partition(".")[2].replace("_", "-"): formatted[name] for name in self.parameters}
