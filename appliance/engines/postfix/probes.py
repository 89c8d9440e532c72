"""Health probes of Postfix: the greeting and EHLO of each listener, as a client sees them (RFC 5321, RFC 3207)."""

from __future__ import annotations

import asyncio
from typing import Final

from appliance.engines import topology
from appliance.engines.base import Probe, RenderContext
from appliance.engines.probing import Endpoint, dialogue

_NAME: Final = "posthouse-probe.invalid"
#: Seconds to wait for a greeting; shorter than the probe's deadline.
_PATIENCE: Final = 2.5


def postfix_probes(context: RenderContext) -> tuple[Probe, ...]:
    """One probe per listener."""
    host = topology.probe_address(context.group)
    reentry = Endpoint(topology.reentry_host(context.group.name), topology.REENTRY)

    async def smtp() -> None:
        await ask_or_busy("smtp", Endpoint(host, topology.SMTP), reentry)

    async def submission() -> None:
        await ask_or_busy("submission", Endpoint(host, topology.SUBMISSION), reentry)

    async def submissions() -> None:
        # Only the handshake: what follows needs Dovecot, and no restart of Postfix helps when that is down.
        async with dialogue("submissions", Endpoint(host, topology.SUBMISSIONS, tls=True)):
            pass

    async def re_entry() -> None:
        await ask("reentry", reentry)

    return (
        Probe("smtp", smtp),
        Probe("submission", submission),
        Probe("submissions", submissions),
        Probe("reentry", re_entry),
    )


async def ask_or_busy(name: str, endpoint: Endpoint, other: Endpoint) -> None:
    """Ask a public listener. When all its processes are busy (a flood) nobody greets, which is no hang:
    then the re-entry listener, which outsiders cannot reach, has to answer."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await ask(name, endpoint, starttls=True)
    except TimeoutError:
        await ask(name, other)


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
