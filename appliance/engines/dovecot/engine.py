"""Dovecot: IMAP, POP3, ManageSieve, LMTP delivery, signing in for Postfix, quota.

Settings of Dovecot 2.3 (https://doc.dovecot.org/2.3/configuration_manual/). Accounts
come from the directory by look-up; ports and sockets are those of
docs/developers/mail-topology.md.
"""

from __future__ import annotations

from collections.abc import Collection
from math import ceil
from pathlib import Path
from typing import Any, Final

from appliance import paths
from appliance.cluster.model import VolumeDriver
from appliance.cluster.names import EngineName
from appliance.directory import schema
from appliance.engines import mail_tls, topology
from appliance.engines.base import (
    Change,
    ConfigurationRefused,
    Directory,
    Engine,
    Facts,
    Probe,
    RenderContext,
    Rendered,
    RenderedFile,
)
from appliance.engines.dovecot import checker, domain_fields, other_groups, probe_account, quota_events
from appliance.engines.dovecot.probes import dovecot_probes
from appliance.engines.templates import render
from appliance.pki.names import MAIL_NAME

_FOLDER: Final = Path(__file__).parent
#: What one login process holds at most (connections), and how many wait ready for each protocol.
_LOGIN_CLIENTS: Final = 1000
_LOGIN_PROCESSES: Final = 2
_AUTH_WORKERS: Final = 8
#: Connections to the auth service besides those of protocol processes: quota-status, doveadm, delivery of notices.
_OTHER_AUTH_CLIENTS: Final = 200
_AUTH_CLIENTS_STEP: Final = 1000
#: From here on Postfix asks at RCPT whether a message fits. A quarter of a quota is more than any message, as a rule.
_NEAR_PERCENT: Final = 75
#: What serves no session that was let in. The master sleeps for a second after its children have ended.
_SERVANTS: Final = frozenset(
    {"dovecot", "log", "anvil", "config", "stats", "auth", "imap-login", "pop3-login", "managesieve-log"}
)
_VMAIL: Final = "vmail"
_VMAIL_UID: Final = 57143


class Dovecot(Engine):
    """The engine. `secret` is the file with the node's probe password."""

    facts = Facts(
        name=EngineName("dovecot"),
        packages=(
            "dovecot-core",
            "dovecot-imapd",
            "dovecot-pop3d",
            "dovecot-lmtpd",
            "dovecot-managesieved",
            "dovecot-sieve",
            "dovecot-ldap",
            "dovecot-submissiond",
            "dovecot-fts-xapian",
        ),
        default_units=("dovecot.service", "dovecot.socket"),
        settings=(
            "imap.enabled",
            "imap.process_limit",
            "imap.login_process_limit",
            "imap.process_reuse",
            "imap.max_connections_per_user_ip",
            "imap.idle_notify_interval",
            "pop3.enabled",
            "pop3.process_limit",
            "pop3.login_process_limit",
            "pop3.process_reuse",
            "pop3.max_connections_per_user_ip",
            "managesieve.enabled",
            "managesieve.process_limit",
            "managesieve.max_script_size",
            "managesieve.max_redirects",
            "lmtp.process_limit",
            "auth.allow_plaintext_without_tls",
            "auth.mechanisms",
            "auth.cache_size",
            "auth.cache_ttl",
            "auth.cache_negative_ttl",
            "tls.minimum_protocol",
            "tls.ciphers",
            "mailbox.quota_warning_percents",
            "mailbox.quota_grace",
            "mailbox.language",
            "fts.enabled",
            "smtp.submission_process_limit",
        ),
    )

    def __init__(self, secret: Path = probe_account.SECRET) -> None:
        self._secret = secret

    def directories(self, context: RenderContext) -> tuple[Directory, ...]:
        volume = context.volume
        # after a takeover nothing may come back that was deleted, as a client was told
        shared = context.group.volume.driver is not VolumeDriver.DIRECTORY
        return (
            Directory(context.run.parent),
            Directory(context.run),
            Directory(volume),
            Directory(volume / "dovecot"),
            Directory(volume / "mailboxes", _VMAIL, _VMAIL, 0o700, synchronous=shared),
            Directory(volume / "probe", _VMAIL, _VMAIL, 0o700),
        )

    def render(self, context: RenderContext) -> Rendered:
        networks = ("127.0.0.1", "::1", *map(str, context.group.addresses))
        account = probe_account.passwd_line(
            probe_account.probe_password(self._secret), context.volume / "probe", networks
        )
        common = {
            "uri": schema.URI,
            "base": schema.DOMAINS,
            "schema": schema,
            "group": context.group.name,
            "volume": context.volume,
            "several": bool(context.others),
        }
        files = {
            "dovecot.conf": RenderedFile(render(_FOLDER, "dovecot.conf.j2", **_values(context))),
            "dovecot-ldap.conf.ext": RenderedFile(render(_FOLDER, "dovecot-ldap.conf.ext.j2", **common)),
            domain_fields.DEFAULTS: RenderedFile(
                domain_fields.defaults_text(full_text=context.settings["fts.enabled"]), change=Change.NONE
            ),
            "language": RenderedFile(f"{context.settings['mailbox.language']}\n", change=Change.NONE),
            "probe.passwd": RenderedFile(account, mode=0o640, group="dovecot"),
        }
        if context.others:
            elsewhere = render(_FOLDER, "dovecot-ldap-elsewhere.conf.ext.j2", **common)
            files["dovecot-ldap-elsewhere.conf.ext"] = RenderedFile(elsewhere)
            files["groups.passwd"] = RenderedFile(other_groups.passwd(context.others), change=Change.NONE)
        return files

    def reads(self, context: RenderContext) -> tuple[Path, ...]:
        return (mail_tls.CERTIFICATE, mail_tls.KEY, *(mail_tls.BETWEEN if _asked_inside(context) else ()))

    def check(self, context: RenderContext, folder: Path) -> None:
        if found := mail_tls.problems(between_groups=_asked_inside(context)):
            raise ConfigurationRefused(context.instance, "\n".join(found))
        checker.check(context.instance, folder)

    def ready(self, context: RenderContext) -> None:
        domain_fields.ensure(context.instance)

    def ended_in_substance(self, processes: Collection[str]) -> bool:
        return set(processes) <= _SERVANTS

    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        return dovecot_probes(context, self._secret)


def _values(context: RenderContext) -> dict[str, Any]:
    """What the template of dovecot.conf asks for."""
    settings = context.settings
    protocols = [name for name in ("imap", "pop3", "managesieve") if settings[f"{name}.enabled"]]
    clients = _auth_clients(context)
    of_others = (address for group in context.others for address in group.addresses)
    return {
        "instance": context.instance,
        "group": context.group.name,
        "config": context.config,
        "run": context.run,
        "volume": context.volume,
        "domain_fields": domain_fields.table(context.instance),
        "hostname": context.hostname,
        "mail_domain": topology.mail_domain(context.hostname),
        "listen": ", ".join(map(str, context.group.addresses)) or "*, ::",
        "protocols": " ".join(["lmtp", *("sieve" if name == "managesieve" else name for name in protocols)]),
        "imap": settings["imap.enabled"],
        "pop3": settings["pop3.enabled"],
        "sieve": settings["managesieve.enabled"],
        "vmail_uid": _VMAIL_UID,
        "reentry": topology.reentry(context.group.name),
        "python": paths.PREFIX / "bin/python",
        "certificate": mail_tls.CERTIFICATE,
        "key": mail_tls.KEY,
        "ciphers": mail_tls.cipher_list(settings),
        "minimum_protocol": settings["tls.minimum_protocol"],
        "mechanisms": " ".join(settings["auth.mechanisms"]),
        "plaintext_allowed": settings["auth.allow_plaintext_without_tls"],
        "auth_cache_size": settings["auth.cache_size"],
        "auth_cache_ttl": settings["auth.cache_ttl"],
        "auth_cache_negative_ttl": settings["auth.cache_negative_ttl"],
        "auth_workers": _AUTH_WORKERS,
        "auth_clients": clients,
        "anvil_clients": clients,
        "probe_user": probe_account.USER,
        "imap_processes": settings["imap.process_limit"],
        "imap_reuse": settings["imap.process_reuse"],
        "imap_login_processes": max(settings["imap.login_process_limit"], _LOGIN_PROCESSES),
        "imap_user_connections": settings["imap.max_connections_per_user_ip"],
        "imap_idle_notify": settings["imap.idle_notify_interval"],
        "pop3_processes": settings["pop3.process_limit"],
        "pop3_reuse": settings["pop3.process_reuse"],
        "pop3_login_processes": settings["pop3.login_process_limit"],
        "pop3_user_connections": settings["pop3.max_connections_per_user_ip"],
        "sieve_processes": settings["managesieve.process_limit"],
        "sieve_script_size": settings["managesieve.max_script_size"],
        "sieve_redirects": settings["managesieve.max_redirects"],
        "lmtp_processes": settings["lmtp.process_limit"],
        "login_processes": _LOGIN_PROCESSES,
        "login_clients": _LOGIN_CLIENTS,
        "quota_grace": settings["mailbox.quota_grace"],
        "quota_warnings": _quota_warnings(settings["mailbox.quota_warning_percents"]),
        "several": bool(context.others),
        "tls": mail_tls,
        "asked_inside": _asked_inside(context),
        "inside_name": MAIL_NAME,
        "trusted": " ".join(map(str, (*of_others, *context.edges))),
        "source": str(context.group.addresses[0]) if context.group.addresses else "",
    }


def _asked_inside(context: RenderContext) -> bool:
    """Whether others of the installation pass sessions on to this group."""
    return bool(context.others or context.edges)


def _auth_clients(context: RenderContext) -> int:
    """How many connections the auth service must hold at most: one per protocol process, one per Postfix smtpd."""
    names = (
        "imap.process_limit",
        "imap.login_process_limit",
        "pop3.process_limit",
        "pop3.login_process_limit",
        "managesieve.process_limit",
        "managesieve.process_limit",
        "lmtp.process_limit",
        "smtp.submission_process_limit",
    )
    most = sum(int(context.settings[name]) for name in names) + _OTHER_AUTH_CLIENTS + 100
    # in large steps: a reload, which breaks logins under way, only when it matters
    return ceil(most / _AUTH_CLIENTS_STEP) * _AUTH_CLIENTS_STEP


def _quota_warnings(percents: tuple[int, ...]) -> list[dict[str, str]]:
    """Dovecot's quota_warning rules: it runs the first that the change crosses, so the highest comes first."""
    levels = {_NEAR_PERCENT: quota_events.NEAR} | {percent: str(percent) for percent in (*percents, 100)}
    events = [(f"storage={percent}%%", levels[percent]) for percent in sorted(levels, reverse=True)]
    events.append((f"-storage={_NEAR_PERCENT}%%", quota_events.AWAY))
    return [
        {"suffix": str(number) if number > 1 else "", "condition": condition, "event": event}
        for number, (condition, event) in enumerate(events, start=1)
    ]
