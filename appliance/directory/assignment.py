"""Which group a new mailbox goes to: the rule that its domain's settings name. Pure.

`mailbox.groups` is a list: GROUP, or LETTERS=GROUP where LETTERS is a letter, a digit, or a span (a-m). Which of them
counts says `mailbox.group_rule`: the first GROUP (fixed), the group of the first letter of the local part
(first-letter), or the group with the fewest mailboxes (least-used).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from appliance.cluster.names import GroupName
from appliance.errors import BadInput

ENTRY: Final = re.compile(r"(?:(?P<first>[a-z0-9])(?:-(?P<last>[a-z0-9]))?=)?(?P<group>[a-z][a-z0-9]{0,14})", re.ASCII)


class Rule(StrEnum):
    """How a group is chosen."""

    FIXED = "fixed"
    FIRST_LETTER = "first-letter"
    LEAST_USED = "least-used"


def assigned(rule: Rule, groups: Sequence[str], local: str, used: Callable[[GroupName], int]) -> GroupName:
    """The group of a new mailbox with that local part; `used` counts the mailboxes of a group.

    Raises BadInput when no entry covers the local part's first character.
    """
    matches = [match for match in map(ENTRY.fullmatch, groups) if match is not None]
    parsed = [(match["first"], match["last"] or match["first"], GroupName(match["group"])) for match in matches]
    names = list(dict.fromkeys(group for _, _, group in parsed))
    if rule is Rule.LEAST_USED:
        return min(names, key=used)
    if rule is Rule.FIXED:
        return names[0]
    letter = local[:1].lower()
    for first, last, group in parsed:
        if first is not None and first <= letter <= last:
            return group
    rest = next((group for first, _, group in parsed if first is None), None)
    if rest is None:
        raise BadInput("group", "mailbox-no-group-for-letter", letter=letter)
    return rest
