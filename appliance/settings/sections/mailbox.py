"""Mailboxes: space, warnings, language, and how long a deleted one can be restored."""

from __future__ import annotations

from appliance.i18n import LANGUAGES
from appliance.settings.kinds import Choice, Duration, Integer, ListOf, Size, Text
from appliance.settings.parameter import ACCOUNT, ENGINE, PER_DOMAIN, Apply, Check, Parameter
from appliance.settings.units import parse_duration, parse_size

PARAMETERS = (
    # 0 is unlimited. Copied into the mailbox when it is created.
    Parameter("mailbox.quota", Size(0, parse_size("1P")), parse_size("1G"), scopes=ACCOUNT, apply=Apply.NEW),
    Parameter(
        "mailbox.quota_warning_percents",
        ListOf(Integer(1, 99), maximum=5, ascending=True),
        (80, 95),
        unit="unit-percent",
        scopes=ENGINE,
    ),
    Parameter("mailbox.quota_grace", Integer(0, 100), 10, unit="unit-percent", scopes=ENGINE),
    Parameter(
        "mailbox.deleted_retention",
        Duration(0, parse_duration("3650d")),
        parse_duration("30d"),
        scopes=PER_DOMAIN,
        apply=Apply.NOW,
    ),
    Parameter(
        "mailbox.group_rule",
        Choice(("fixed", "first-letter", "least-used")),
        "fixed",
        scopes=PER_DOMAIN,
        apply=Apply.NEW,
    ),
    # Entries as appliance/directory/assignment.py reads them.
    Parameter(
        "mailbox.groups",
        ListOf(Text(r"(?:[a-z0-9](?:-[a-z0-9])?=)?[a-z][a-z0-9]{0,14}", "a-m=store1", 19), minimum=1),
        ("mail",),
        scopes=PER_DOMAIN,
        apply=Apply.NEW,
    ),
    Parameter("mailbox.language", Choice(LANGUAGES), "en", scopes=ACCOUNT, apply=Apply.NOW),
)

CHECKS: tuple[Check, ...] = ()
