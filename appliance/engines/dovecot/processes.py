"""Which services of Dovecot have no process left, asked of its master.

The master listens in `base_dir` on the socket `master` and answers as it does to
`doveadm service status` (src/master/master-client.c of Dovecot 2.3).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.engines.base import Overloaded
from appliance.engines.probing import MOST_LINES, Endpoint, dialogue

_SOCKET = "master"
#: A service that turned somebody away so many seconds ago is taken for full, though one process is free again now.
_RECENT = 15.0


@dataclass(frozen=True)
class Service:
    """A service as the master tells it.

    `free`: processes that take one more client; `dropped`: when a client was turned away for want of one (Unix time,
    0: never).
    """

    processes: int
    free: int
    limit: int
    dropped: int

    def is_full(self, now: float) -> bool:
        """Whether a client finds no process, or found none lately. `now` is Unix time, which the master goes by."""
        return (self.processes >= self.limit and self.free == 0) or 0 <= now - self.dropped <= _RECENT


def services(lines: Iterable[str]) -> dict[str, Service]:
    """Read the master's answer: name, processes, free, limit, three more, the last drop, and others, by tabs. Pure."""
    found = {}
    for line in lines:
        name, processes, free, limit, _, _, _, _, dropped, *_ = line.split("\t")
        found[name] = Service(int(processes), int(free), int(limit), int(dropped))
    return found


async def overload(base_dir: Path, wanted: Mapping[str, str]) -> Overloaded | None:
    """The first of some services that has no process left. `wanted`: name of a service -> setting of its limit.

    Raises ProbeFailed when the master does not answer as expected.
    """
    async with dialogue(_SOCKET, Endpoint(path=base_dir / _SOCKET)) as talk:
        talk.writer.write(b"VERSION\tmaster-client\t1\t0\nSERVICE-STATUS\n")
        await talk.expect("VERSION\tmaster-server\t1\t")
        lines = []
        while line := await talk.line():
            lines.append(line)
            if len(lines) > MOST_LINES:
                raise talk.failure("no end of services")
    found = services(lines)
    now = time.time()
    for name, setting in wanted.items():
        if name in found and found[name].is_full(now):
            return Overloaded(name, found[name].limit, setting)
    return None
