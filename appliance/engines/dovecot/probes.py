"""Health probes of Dovecot: a real login by IMAP and POP3, the greetings of LMTP and ManageSieve.

RFC 3501, RFC 1939, RFC 2033, RFC 5804. The probe account is dovecot/probe_account.py's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from appliance.engines import topology
from appliance.engines.base import Overloaded, Probe, RenderContext
from appliance.engines.dovecot import processes
from appliance.engines.dovecot.probe_account import USER, probe_password
from appliance.engines.probing import MOST_LINES, Endpoint, dialogue

#: The services that answer each probe, and the setting of their limit.
_SERVICES: Final[Mapping[str, Mapping[str, str]]] = {
    "lmtp": {"lmtp": "lmtp.process_limit"},
    "imap-login": {"imap": "imap.process_limit", "imap-login": "imap.login_process_limit"},
    "pop3-login": {"pop3": "pop3.process_limit", "pop3-login": "pop3.login_process_limit"},
    "managesieve": {"managesieve-login": "managesieve.process_limit"},
}

#: The setting of the limit of each login service.
_LOGIN_LIMITS: Final[Mapping[str, str]] = {
    "imap": "imap.login_process_limit",
    "pop3": "pop3.login_process_limit",
    "managesieve": "managesieve.process_limit",
    "submission": "smtp.submission_process_limit",
}


def dovecot_probes(context: RenderContext, secret: Path) -> tuple[Probe, ...]:
    """A probe for each protocol that is on."""
    host = topology.probe_address(context.group)

    async def imap() -> None:
        await imap_login(Endpoint(host, topology.IMAPS, tls=True), probe_password(secret))

    async def pop3() -> None:
        await pop3_login(Endpoint(host, topology.POP3S, tls=True), probe_password(secret))

    async def lmtp() -> None:
        await lmtp_greeting(Endpoint(path=context.run / "lmtp"))

    async def managesieve() -> None:
        await managesieve_greeting(Endpoint(host, topology.MANAGESIEVE))

    wanted = (
        ("imap-login", imap, "imap.enabled"),
        ("pop3-login", pop3, "pop3.enabled"),
        ("managesieve", managesieve, "managesieve.enabled"),
    )
    chosen = [("lmtp", lmtp), *((name, run) for name, run, switch in wanted if context.settings[switch])]
    return tuple(_probe(context, name, run, _SERVICES[name]) for name, run in chosen)


def login_service(
    context: RenderContext, protocol: str, greet: Callable[[Endpoint], Awaitable[None]], endpoint: Endpoint
) -> Probe:
    """A probe of the login service of an edge, which has no other services."""
    setting = _LOGIN_LIMITS[protocol]

    async def run() -> None:
        await greet(endpoint)

    return _probe(context, protocol, run, {f"{protocol}-login": setting})


def _probe(context: RenderContext, name: str, run: Callable[[], Awaitable[None]], services: Mapping[str, str]) -> Probe:
    async def overload() -> Overloaded | None:
        return await processes.overload(context.run, services)

    return Probe(name, run, overload=overload)


async def imap_login(endpoint: Endpoint, password: str) -> None:
    """Log in over TLS, do nothing, log out."""
    async with dialogue("imap-login", endpoint) as talk:
        await talk.expect("* OK")
        await talk.tagged("1", f"LOGIN {USER} {password}")
        await talk.tagged("2", "NOOP")
        await talk.tagged("3", "LOGOUT")


async def pop3_login(endpoint: Endpoint, password: str) -> None:
    """Log in over TLS, which opens the mailbox, and log out."""
    async with dialogue("pop3-login", endpoint) as talk:
        await talk.expect("+OK")
        for command in (f"USER {USER}", f"PASS {password}", "QUIT"):
            await talk.send(command)
            await talk.expect("+OK")


async def imap_greeting(endpoint: Endpoint) -> None:
    """Say hello over TLS and log out. A login service greets only once the authentication behind it is there."""
    async with dialogue("imap", endpoint) as talk:
        await talk.expect("* OK")
        await talk.tagged("1", "NOOP")
        await talk.tagged("2", "LOGOUT")


async def pop3_greeting(endpoint: Endpoint) -> None:
    """The same by POP3."""
    async with dialogue("pop3", endpoint) as talk:
        await talk.expect("+OK")
        await talk.send("QUIT")
        await talk.expect("+OK")


async def submission_greeting(endpoint: Endpoint) -> None:
    """The same by SMTP (RFC 6409)."""
    async with dialogue("submission", endpoint) as talk:
        await talk.reply(220)
        await talk.send("EHLO posthouse-probe.invalid")
        await talk.reply(250)
        await talk.send("QUIT")
        await talk.reply(221)


async def lmtp_greeting(endpoint: Endpoint) -> None:
    """Greet as Postfix does when it delivers."""
    async with dialogue("lmtp", endpoint) as talk:
        await talk.reply(220)
        await talk.send("LHLO posthouse-probe.invalid")
        await talk.reply(250)
        await talk.send("QUIT")
        await talk.reply(221)


async def managesieve_greeting(endpoint: Endpoint) -> None:
    """Read the capabilities, which end with OK, and log out."""
    async with dialogue("managesieve", endpoint) as talk:
        for _ in range(MOST_LINES):
            if (await talk.line()).startswith("OK"):
                break
        else:
            raise talk.failure("no end of the capabilities")
        await talk.send("LOGOUT")
        await talk.expect("OK")
