"""SMTP in and out (Postfix). Defaults are Postfix 3.7's unless a comment says why not."""

from __future__ import annotations

from appliance.settings.kinds import (
    Destination,
    Duration,
    Hostname,
    Integer,
    ListOf,
    Network,
    Secret,
    Size,
    Text,
    names_a_host,
)
from appliance.settings.parameter import ENGINE, Apply, Check, Parameter
from appliance.settings.units import parse_duration, parse_size

_DAY = parse_duration("1d")

PARAMETERS = (
    # Postfix gives 10240000; attachments have grown since.
    Parameter("smtp.message_size_limit", Size(parse_size("64K"), parse_size("2G")), parse_size("50M"), scopes=ENGINE),
    Parameter("smtp.recipient_limit", Integer(1, 50_000), 1000, unit="unit-recipients", scopes=ENGINE),
    Parameter("smtp.process_limit", Integer(2, 10_000), 100, unit="unit-processes", scopes=ENGINE),
    Parameter("smtp.submission_process_limit", Integer(2, 10_000), 100, unit="unit-processes", scopes=ENGINE),
    Parameter("smtp.outbound_process_limit", Integer(2, 10_000), 100, unit="unit-processes", scopes=ENGINE),
    Parameter("smtp.client_connection_limit", Integer(1, 10_000), 50, unit="unit-connections", scopes=ENGINE),
    Parameter("smtp.destination_concurrency", Integer(1, 1000), 20, unit="unit-connections", scopes=ENGINE),
    Parameter("smtp.queue_lifetime", Duration(0, 30 * _DAY), 5 * _DAY, scopes=ENGINE),
    Parameter("smtp.bounce_lifetime", Duration(0, 30 * _DAY), 5 * _DAY, scopes=ENGINE),
    Parameter("smtp.retry_interval_min", Duration(10, _DAY), parse_duration("5m"), scopes=ENGINE),
    Parameter("smtp.retry_interval_max", Duration(10, _DAY), 4000, scopes=ENGINE),
    # Empty: the node's host name.
    Parameter("smtp.hostname", Hostname(optional=True), "", scopes=ENGINE, apply=Apply.RESTART),
    Parameter(
        "smtp.banner", Text(r"[!-#%-~]([ !-#%-~]*[!-#%-~])?", "ASCII, no $", max_length=100), "ESMTP", scopes=ENGINE
    ),
    Parameter("smtp.relay_host", Destination(), "", scopes=ENGINE),
    # No colon: what follows one is the password (sasl_passwd, SASL_README).
    Parameter("smtp.relay_user", Text(r"[!-9;-~]{0,255}", "ASCII"), "", scopes=ENGINE),
    Parameter("smtp.relay_password", Secret(), "", scopes=ENGINE),
    Parameter("smtp.mynetworks", ListOf(Network()), (), scopes=ENGINE),
)

CHECKS = (
    Check(
        "settings-bounces-outlive-mail",
        ("smtp.bounce_lifetime", "smtp.queue_lifetime"),
        lambda bounce, queue: bounce <= queue,
    ),
    Check(
        "settings-client-above-process-limit",
        ("smtp.client_connection_limit", "smtp.process_limit"),
        lambda client, process: client <= process,
    ),
    # The relay proves by its certificate who it is before it is told the password.
    Check(
        "settings-relay-user-needs-name",
        ("smtp.relay_user", "smtp.relay_host"),
        lambda user, host: not user or names_a_host(host),
    ),
    Check(
        "settings-relay-user-needs-password",
        ("smtp.relay_user", "smtp.relay_password"),
        lambda user, password: bool(user) <= bool(password),
    ),
    Check(
        "settings-retry-interval-reversed",
        ("smtp.retry_interval_min", "smtp.retry_interval_max"),
        lambda low, high: low <= high,
    ),
)
