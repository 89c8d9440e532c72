"""The one base of every error that a user or an operator may see.

An error carries a message key and the facts; the text comes from the message
catalogues (`appliance/i18n`), so the same error is told in four languages.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PosthouseError(Exception):
    """An expected failure, told to a person.

    `key` names the message in the catalogues; `facts` fill its placeables
    (never a secret). `exit_code` is what the command line ends with.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, key: str, **facts: Any) -> None:
        self.key = key
        self.facts = facts
        super().__init__(key, facts)

    def __str__(self) -> str:
        from appliance.i18n import translate  # noqa: PLC0415 - texts are only needed when somebody reads the error

        return translate(self.key, **self.facts)


class BadInput(PosthouseError):
    """A value that a person gave is refused; `field` names which one."""

    exit_code = 2

    def __init__(self, field: str, key: str, **facts: Any) -> None:
        self.field = field
        super().__init__(key, field=field, **facts)


class NotFound(PosthouseError):
    """What was named does not exist."""

    exit_code = 3


class AlreadyExists(PosthouseError):
    """What was to be created exists already."""

    exit_code = 4


class Unavailable(PosthouseError):
    """A part that is needed (store, directory, engine) does not answer; trying again later may work."""

    exit_code = 75
