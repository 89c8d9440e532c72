"""Delivery into mailboxes: LMTP from Postfix to Dovecot."""

from __future__ import annotations

from appliance.settings.kinds import Integer
from appliance.settings.parameter import ENGINE, Check, Parameter

PARAMETERS = (
    Parameter("lmtp.process_limit", Integer(1, 10_000), 100, unit="unit-processes", scopes=ENGINE),
    # Postfix's connections to Dovecot at the same time; default_destination_concurrency_limit.
    Parameter("lmtp.concurrency", Integer(1, 1000), 20, unit="unit-connections", scopes=ENGINE),
)

CHECKS = (
    Check(
        "settings-lmtp-concurrency-above-process-limit",
        ("lmtp.concurrency", "lmtp.process_limit"),
        lambda concurrency, process: concurrency <= process,
    ),
)
