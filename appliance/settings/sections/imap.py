"""IMAP (Dovecot). Defaults are Dovecot 2.3's unless a comment says why not."""

from __future__ import annotations

from appliance.settings.kinds import Boolean, Duration, Integer
from appliance.settings.parameter import ENGINE, Apply, Check, Parameter

PARAMETERS = (
    Parameter("imap.enabled", Boolean(), True, scopes=ENGINE, apply=Apply.RESTART),
    Parameter("imap.process_limit", Integer(1, 100_000), 1024, unit="unit-processes", scopes=ENGINE),
    Parameter("imap.login_process_limit", Integer(2, 10_000), 100, unit="unit-processes", scopes=ENGINE),
    # Dovecot gives 1 (no reuse); starting a process for each login costs five times the login itself.
    Parameter("imap.process_reuse", Integer(1, 10_000), 200, unit="unit-sessions", scopes=ENGINE),
    # Dovecot gives 10; one person with a telephone and two computers holds more.
    Parameter("imap.max_connections_per_user_ip", Integer(1, 1000), 20, unit="unit-connections", scopes=ENGINE),
    Parameter("imap.idle_notify_interval", Duration(10, 1740), 120, scopes=ENGINE),
)

CHECKS = (
    Check(
        "settings-user-above-process-limit",
        ("imap.max_connections_per_user_ip", "imap.process_limit"),
        lambda user, process: user <= process,
    ),
)
