"""Click's own words (Usage, Error, Options …) in the reader's language, from the same catalogues as ours.

Click asks gettext for each of its messages by the English text; here the catalogue is
asked instead. What is not in the table stays English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from click import core, decorators, exceptions, formatting, parser, termui, types

from appliance.i18n import translate

#: Click's message -> key in the catalogues. Placeholders keep their names there.
WORDS: Final[Mapping[str, str]] = {
    "Usage:": "click-usage",
    "Options": "click-options",
    "Commands": "click-commands",
    "Show this message and exit.": "click-help-option",
    "Try '{command} {option}' for help.": "click-try-help",
    "Error: {message}": "click-error",
    "Missing command.": "click-missing-command",
    "Missing argument": "click-missing-argument",
    "Missing option": "click-missing-option",
    "No such command {name!r}.": "click-no-such-command",
    "No such option {name!r}.": "click-no-such-option",
    "Did you mean {possibility}?": "click-did-you-mean",
    "(Did you mean one of: {possibilities}?)": "click-did-you-mean-one-of",
    "Got unexpected extra argument ({args})": "click-extra-argument",
    "Got unexpected extra arguments ({args})": "click-extra-arguments",
    "Option {name!r} requires an argument.": "click-option-needs-value",
    "Option {name!r} does not take a value.": "click-option-takes-no-value",
    "Invalid value: {message}": "click-invalid-value",
    "Invalid value for {param_hint}: {message}": "click-invalid-value-for",
    "{value!r} is not a valid {number_type}.": "click-not-a-number",
    "{value} is not in the range {range}.": "click-not-in-range",
    "{value!r} is not {choice}.": "click-not-the-choice",
    "{value!r} is not one of {choices}.": "click-not-among-choices",
    "file": "click-file",
    "directory": "click-directory",
    "path": "click-path",
    "{name} {filename!r} does not exist.": "click-path-missing",
    "{name} {filename!r} is a file.": "click-path-is-file",
    "{name} {filename!r} is a directory.": "click-path-is-directory",
    "{name} {filename!r} is not readable.": "click-path-unreadable",
    "Error: The two entered values do not match.": "click-entries-differ",
    "Error: invalid input": "click-invalid-input",
}
_MODULES: Final = (core, decorators, exceptions, formatting, parser, termui, types)
_PLACEHOLDER: Final = re.compile(r"\{(\w+)(?:!r)?\}")


def word(message: str) -> str:
    """A message of Click's in the reader's language, with its placeholders still to be filled."""
    key = WORDS.get(message)
    if key is None:
        return message
    return translate(key, **{found[1]: found[0] for found in _PLACEHOLDER.finditer(message)})


def word_for_number(one: str, many: str, number: int) -> str:
    """The same where Click has a text for one and another for several."""
    return word(one if number == 1 else many)


def speak() -> None:
    """Let Click speak the reader's language from now on."""
    for module in _MODULES:
        for name, ours in (("_", word), ("ngettext", word_for_number)):
            if hasattr(module, name):
                setattr(module, name, ours)
