"""The last log lines of a unit, for a report that says why."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection
from typing import Any

from appliance.cluster.names import Seconds

_DEADLINE = Seconds(3.0)
_LONGEST = 300
#: So many entries are looked at to find lines that the unit itself wrote.
_LOOK_BACK = 400
_SYSTEMD = "1"
#: What the agent's own probes leave in an engine's log, also of a healthy one; @ are the addresses they come from.
_OF_PROBES = (
    r"posthouse-probe"
    r"|(?:Connect|Disconnect) from local\b"
    r"|managesieve-login: .*no auth attempts"
    r"|(?:dis)?connect from \S*\[(?:@)\](?:$| (?!.*\b(?:mail|rcpt|data|auth)=))"
    r"|^SSL_accept error from \S*\[(?:@)\]|^lost connection after CONNECT from"
)
_LOOPBACK = ("127.0.0.1", "::1")


def of_probes(addresses: Collection[str]) -> re.Pattern[str]:
    """What tells a line about probes that come from these addresses or loopback. Pure."""
    return re.compile(_OF_PROBES.replace("@", "|".join(map(re.escape, (*_LOOPBACK, *addresses)))))


async def last_lines(unit: str, count: int = 5, addresses: Collection[str] = ()) -> tuple[str, ...]:
    """The newest `count` lines that the unit's own processes wrote, oldest first, without those about the agent's
    probes, which come from the group's `addresses`; systemd's words about the unit where there are none. Empty when
    the journal does not answer."""
    try:
        process = await asyncio.create_subprocess_exec(
            "journalctl", "--unit", unit, "--lines", str(_LOOK_BACK), "--output", "json",
            "--output-fields", "MESSAGE,_PID", "--no-pager", "--quiet",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ()
    try:
        async with asyncio.timeout(_DEADLINE):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ()
    return tell(out.decode(errors="replace").splitlines(), count, addresses)


def tell(entries: list[str], count: int, addresses: Collection[str] = ()) -> tuple[str, ...]:
    """The last lines in journal entries (JSON, one a line; systemd.journal-fields(7)). Pure."""
    noise = of_probes(addresses)
    own: list[str] = []
    about: list[str] = []
    for entry in entries:
        try:
            fields: dict[str, Any] = json.loads(entry)
        except ValueError:
            continue
        message = fields.get("MESSAGE")
        if isinstance(message, str) and not noise.search(message):
            (about if fields.get("_PID") == _SYSTEMD else own).append(message[:_LONGEST])
    return tuple((own or about)[-count:])
