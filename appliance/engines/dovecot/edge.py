"""A node's edge: a Dovecot that keeps no mail. It verifies the password and passes the session on to the group.

While the group of the mailbox moves, or fails over to another node, the client waits and is told nothing
(docs/decisions/0049-edges-pass-sessions-on.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from appliance.directory import schema
from appliance.engines import mail_tls, topology
from appliance.engines.base import (
    Change,
    ConfigurationRefused,
    Directory,
    Engine,
    Probe,
    RenderContext,
    Rendered,
    RenderedFile,
)
from appliance.engines.dovecot import checker, other_groups, probes
from appliance.engines.dovecot.engine import Dovecot
from appliance.engines.probing import Endpoint
from appliance.engines.templates import render
from appliance.pki.names import MAIL_NAME

_FOLDER: Final = Path(__file__).parent
_LDAP: Final = "edge-ldap.conf.ext"
#: What one login process holds at most (connections), and how many wait ready.
_LOGIN_CLIENTS: Final = 1000
_LOGIN_PROCESSES: Final = 2
_AUTH_WORKERS: Final = 8
#: Connections to the auth service besides those of login processes.
_OTHER_AUTH_CLIENTS: Final = 200
#: Mechanisms by which the server hears the password, which it needs to pass on.
_PASSED_ON: Final = frozenset({"plain", "login"})
#: Nothing listens there: groups and edges have addresses of their own.
_NOWHERE: Final = "127.255.255.254"


class DovecotEdge(Engine):
    """The engine of one instance, `topology.EDGE`. Its group's addresses are where it listens."""

    facts = Dovecot.facts

    def directories(self, context: RenderContext) -> tuple[Directory, ...]:
        return (Directory(context.run.parent), Directory(context.run))

    def render(self, context: RenderContext) -> Rendered:
        ldap = render(_FOLDER, f"{_LDAP}.j2", uri=schema.URI, base=schema.DOMAINS, schema=schema)
        source = context.node.address
        return {
            "dovecot.conf": RenderedFile(render(_FOLDER, "edge.conf.j2", **_values(context))),
            _LDAP: RenderedFile(ldap),
            "groups.passwd": RenderedFile(other_groups.passwd(context.others, source, edge=True), change=Change.NONE),
        }

    def reads(self, context: RenderContext) -> tuple[Path, ...]:
        return (mail_tls.CERTIFICATE, mail_tls.KEY, mail_tls.AUTHORITY)

    def check(self, context: RenderContext, folder: Path) -> None:
        if found := mail_tls.problems(between_groups=False):
            raise ConfigurationRefused(context.instance, "\n".join(found))
        checker.check(context.instance, folder)

    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        """Greetings: whether a group lets anybody in is that group's own probe."""
        settings, host = context.settings, topology.probe_address(context.group)
        greetings: tuple[tuple[str, Callable[[Endpoint], Awaitable[None]], Endpoint], ...] = (
            ("submission", probes.submission_greeting, Endpoint(host, topology.SUBMISSIONS, tls=True)),
            ("imap", probes.imap_greeting, Endpoint(host, topology.IMAPS, tls=True)),
            ("pop3", probes.pop3_greeting, Endpoint(host, topology.POP3S, tls=True)),
            ("managesieve", probes.managesieve_greeting, Endpoint(host, topology.MANAGESIEVE)),
        )
        return tuple(
            probes.login_service(context, protocol, greet, endpoint)
            for protocol, greet, endpoint in greetings
            if protocol == "submission" or settings[f"{protocol}.enabled"]
        )


def _values(context: RenderContext) -> dict[str, Any]:
    """What the template asks for."""
    settings = context.settings
    names = [name for name in ("imap", "pop3", "managesieve") if settings[f"{name}.enabled"]]
    imap = max(settings["imap.login_process_limit"], _LOGIN_PROCESSES)
    pop3, sieve = settings["pop3.login_process_limit"], settings["managesieve.process_limit"]
    submission = settings["smtp.submission_process_limit"]
    hostname = settings["smtp.hostname"] or context.hostname
    return {
        "instance": context.instance,
        "config": context.config,
        "run": context.run,
        "listen": ", ".join(map(str, context.group.addresses)),
        "inside_name": MAIL_NAME,
        "nowhere": _NOWHERE,
        "patience": other_groups.PATIENCE,
        "protocols": " ".join(["submission", *("sieve" if name == "managesieve" else name for name in names)]),
        "hostname": hostname,
        "message_size_limit": settings["smtp.message_size_limit"],
        "imap": settings["imap.enabled"],
        "pop3": settings["pop3.enabled"],
        "sieve": settings["managesieve.enabled"],
        "certificate": mail_tls.CERTIFICATE,
        "key": mail_tls.KEY,
        "authority": mail_tls.AUTHORITY,
        "ciphers": mail_tls.cipher_list(settings),
        "minimum_protocol": settings["tls.minimum_protocol"],
        "mechanisms": " ".join(each for each in settings["auth.mechanisms"] if each in _PASSED_ON) or "plain",
        "plaintext_allowed": settings["auth.allow_plaintext_without_tls"],
        "auth_cache_size": settings["auth.cache_size"],
        "auth_cache_ttl": settings["auth.cache_ttl"],
        "auth_cache_negative_ttl": settings["auth.cache_negative_ttl"],
        "auth_workers": _AUTH_WORKERS,
        "auth_clients": imap + pop3 + sieve + submission + _OTHER_AUTH_CLIENTS,
        "imap_login_processes": imap,
        "pop3_login_processes": pop3,
        "sieve_processes": sieve,
        "submission_login_processes": submission,
        "login_processes": _LOGIN_PROCESSES,
        "login_clients": _LOGIN_CLIENTS,
    }
