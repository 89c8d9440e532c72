"""The registry: every parameter and every rule between parameters, collected from the sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from appliance.errors import BadInput, NotFound
from appliance.settings.parameter import Check, Parameter
from appliance.settings.sections import (
    agent,
    alert,
    auth,
    controller,
    directory,
    edge,
    fts,
    imap,
    lmtp,
    mailbox,
    managesieve,
    password,
    pop3,
    smtp,
    tls,
)

_SECTIONS = (
    smtp,
    imap,
    pop3,
    lmtp,
    managesieve,
    auth,
    password,
    tls,
    mailbox,
    fts,
    directory,
    edge,
    agent,
    controller,
    alert,
)

#: Every parameter by name, in the order of the reference.
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {parameter.name: parameter for section in _SECTIONS for parameter in section.PARAMETERS}
)
#: Every rule between parameters.
CHECKS: tuple[Check, ...] = tuple(check for section in _SECTIONS for check in section.CHECKS)
SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(parameter.section for parameter in PARAMETERS.values()))


def parameter(name: str) -> Parameter:
    """Return the parameter called `name`; raise NotFound, with the nearest name, when there is none."""
    found = PARAMETERS.get(name)
    if found is None:
        nearest = get_close_matches(name, PARAMETERS, n=1, cutoff=0.6)
        if nearest:
            raise NotFound("setting-unknown-nearest", name=name, nearest=nearest[0])
        raise NotFound("setting-unknown", name=name)
    return found


def defaults() -> dict[str, Any]:
    """The default of every parameter by name."""
    return {name: each.default for name, each in PARAMETERS.items()}


def broken_rules(values: Mapping[str, Any]) -> Iterator[BadInput]:
    """The rules that `values` (a full set by name) break, each as the error to raise; pure."""
    for check in CHECKS:
        if not check.holds(*(values[name] for name in check.parameters)):
            formatted = {name: PARAMETERS[name].format(values[name]) for name in check.parameters}
            yield BadInput(check.parameters[0], check.key, **check.facts(formatted))
