"""The last log lines of a unit, for a report that says why."""

from __future__ import annotations

import asyncio

from appliance.cluster.names import Seconds

_DEADLINE = Seconds(3.0)
_LONGEST = 300


async def last_lines(unit: str, count: int = 5) -> tuple[str, ...]:
    """The unit's newest `count` lines, oldest first; empty when the journal does not answer."""
    try:
        process = await asyncio.create_subprocess_exec(
            "journalctl", "--unit", unit, "--lines", str(count), "--output", "cat", "--no-pager", "--quiet",
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
    return tuple(line[:_LONGEST] for line in out.decode(errors="replace").splitlines()[-count:])
