"""Health probes of Postfix: the greeting and EHLO of each listener, as a client sees them (RFC 5321, RFC 3207)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from appliance.engines import topology
from appliance.engines.base import Overloaded, Probe, RenderContext
from appliance.engines.postfix import processes
from appliance.engines.probing import Endpoint, dialogue
from appliance.off_loop import off_loop

_NAME: Final = "posthouse-probe.invalid"
_PORTS_LIMIT: Final = "smtp.process_limit"
_SUBMISSION_LIMIT: Final = "smtp.submission_process_limit"


def postfix_probes(context: RenderContext) -> tuple[Probe, ...]:
    """One probe per listener."""
    host = topology.probe_address(context.group)
    reentry = Endpoint(topology.reentry_host(context.group.name), topology.REENTRY)

    async def smtp() -> None:
        await ask("smtp", Endpoint(host, topology.SMTP), starttls=True)

    async def submission() -> None:
        await ask("submission", Endpoint(host, topology.SUBMISSION), starttls=True)

    async def submissions() -> None:
        # Only the handshake: what follows needs Dovecot, and no restart of Postfix helps when that is down.
        async with dialogue("submissions", Endpoint(host, topology.SUBMISSIONS, tls=True)):
            pass

    async def re_entry() -> None:
        await ask("reentry", reentry)

    def probe(name: str, run: Callable[[], Awaitable[None]], service: str, setting: str) -> Probe:
        async def overload() -> Overloaded | None:
            # not the context's: a reload may have changed it since
            limit = processes.limits((context.config / "master.cf").read_text())[service]
            running = await off_loop(processes.serving, context.volume)
            return Overloaded(name, limit, setting) if running[service] >= limit else None

        return Probe(name, run, overload=overload)

    # a service is called as its line in master.cf begins
    return (
        probe("smtp", smtp, str(topology.SMTP), _PORTS_LIMIT),
        probe("submission", submission, str(topology.SUBMISSION), _SUBMISSION_LIMIT),
        probe("submissions", submissions, str(topology.SUBMISSIONS), _SUBMISSION_LIMIT),
        probe("reentry", re_entry, topology.reentry(context.group.name), _PORTS_LIMIT),
    )


async def ask(name: str, endpoint: Endpoint, *, starttls: bool = False) -> None:
    """Greet, ask for extensions, leave. STARTTLS missing means no usable certificate."""
    async with dialogue(name, endpoint) as talk:
        await talk.reply(220)
        await talk.send(f"EHLO {_NAME}")
        extensions = {text.partition(" ")[0].upper() for text in await talk.reply(250)}
        if starttls and "STARTTLS" not in extensions:
            raise talk.failure("STARTTLS is not offered")
        await talk.send("QUIT")
        await talk.reply(221)
