"""POP3 (Dovecot). Defaults are Dovecot 2.3's unless a comment says why not."""

from __future__ import annotations

from appliance.settings.kinds import Boolean, Integer
from appliance.settings.parameter import ENGINE, Apply, Check, Parameter

PARAMETERS = (
    Parameter("pop3.enabled", Boolean(), True, scopes=ENGINE, apply=Apply.RESTART),
    Parameter("pop3.process_limit", Integer(1, 100_000), 1024, unit="unit-processes", scopes=ENGINE),
    Parameter("pop3.login_process_limit", Integer(2, 10_000), 100, unit="unit-processes", scopes=ENGINE),
    # Dovecot gives 1 (no reuse), see imap.process_reuse.
    Parameter("pop3.process_reuse", Integer(1, 10_000), 200, unit="unit-sessions", scopes=ENGINE),
    Parameter("pop3.max_connections_per_user_ip", Integer(1, 1000), 10, unit="unit-connections", scopes=ENGINE),
)

CHECKS = (
    Check(
        "settings-user-above-process-limit",
        ("pop3.max_connections_per_user_ip", "pop3.process_limit"),
        lambda user, process: user <= process,
    ),
)
