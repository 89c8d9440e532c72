"""What a client sees of an outage: probes of SMTP and IMAP every 50 ms, and the longest gap between two successes.

A probe is one small piece of work on an open session (SMTP: MAIL and RCPT; IMAP: NOOP), which is what a client in the
middle of its work sees. A session that does not answer at once is not waited for: at every tick another one is begun
beside it, and the first that works is the next session. So the end of an outage is seen within one tick and what a
handshake takes, and neither TCP's own waiting nor one lost connection counts as the server's.

Runs in a process of its own: `python -m tests.load.outage`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import pairwise

from tests.lab.polling import wait_until
from tests.load.outside import Outside

TICK = 0.05
#: So many sessions are being begun at once; then the oldest, a second old, is given up for the next.
_MOST_BEGINNERS = 20
#: After so many probes a session is ended in order: Postfix counts RSET among the useless commands.
_SMTP_PROBES = 40

Session = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NotServed(Exception):
    """The server said something other than yes."""


@dataclass(frozen=True)
class Target:
    """Where to probe, and as whom. `imap_host`: where IMAP is asked instead, such as at an edge."""

    host: str
    recipient: str
    password: str
    smtp_port: int = 25
    imaps_port: int = 993
    imap_host: str = ""


async def _smtp_begin(target: Target) -> Session:
    session = await asyncio.open_connection(target.host, target.smtp_port)
    with _closed_unless_well(session):
        await _smtp_answer(session[0])
        await _smtp(session, "EHLO probe.test")
        await _smtp_probe(session, target)
    return session


async def _smtp_probe(session: Session, target: Target) -> None:
    for line in ("MAIL FROM:<probe@probe.test>", f"RCPT TO:<{target.recipient}>", "RSET"):
        await _smtp(session, line)


async def _smtp(session: Session, line: str) -> None:
    session[1].write(line.encode() + b"\r\n")
    await _smtp_answer(session[0])


async def _smtp_answer(reader: asyncio.StreamReader) -> None:
    line = await reader.readline()
    while line[3:4] == b"-":
        line = await reader.readline()
    if not line.startswith(b"2"):
        raise NotServed(line)


async def _imap_begin(target: Target) -> Session:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    session = await asyncio.open_connection(target.imap_host or target.host, target.imaps_port, ssl=context)
    with _closed_unless_well(session):
        if not (await session[0].readline()).startswith(b"* OK"):
            raise NotServed
        await _imap(session, f'LOGIN {target.recipient} "{target.password}"')
        await _imap(session, "SELECT INBOX")
    return session


async def _imap_probe(session: Session, target: Target) -> None:
    await _imap(session, "NOOP")


async def _imap(session: Session, line: str) -> None:
    session[1].write(b"a " + line.encode() + b"\r\n")
    while not (answer := await session[0].readline()).startswith(b"a "):
        if not answer:
            raise NotServed
    if not answer.startswith(b"a OK"):
        raise NotServed(answer)


@contextmanager
def _closed_unless_well(session: Session) -> Iterator[None]:
    """Close a session that could not be begun, also when its task is cancelled."""
    try:
        yield
    except BaseException:
        _close(session)
        raise


class Prober:
    """Probes one protocol at every tick and tells of each success."""

    def __init__(
        self,
        target: Target,
        begin: Callable[[Target], Awaitable[Session]],
        probe: Callable[[Session, Target], Awaitable[None]],
        told: Callable[[float], None],
        most_probes: int = sys.maxsize,
    ) -> None:
        self._target, self._begin, self._probe, self._told = target, begin, probe, told
        self._most_probes = most_probes
        self._session: Session | None = None
        self._left = 0
        self._asking: asyncio.Task[None] | None = None
        self._beginners: deque[asyncio.Task[None]] = deque()

    async def run(self) -> None:
        """Probe until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if self._session is not None and (self._asking is None or self._asking.done()):
                self._asking = asyncio.create_task(self._ask(self._session))
            else:
                self._begin_another()
            due = max(due + TICK, loop.time())
            await asyncio.sleep(due - loop.time())

    def _begin_another(self) -> None:
        self._beginners = deque(each for each in self._beginners if not each.done())
        if len(self._beginners) >= _MOST_BEGINNERS:
            self._beginners.popleft().cancel()
        self._beginners.append(asyncio.create_task(self._begin_one()))

    async def _ask(self, session: Session) -> None:
        try:
            await self._probe(session, self._target)
        except (OSError, NotServed, asyncio.IncompleteReadError):
            self._drop(session)
            return
        self._told(time.monotonic())
        self._left -= 1
        if self._left <= 0:
            self._drop(session)

    async def _begin_one(self) -> None:
        try:
            session = await self._begin(self._target)
        except (OSError, NotServed, asyncio.IncompleteReadError):
            return
        self._told(time.monotonic())
        if self._session is not None:
            self._drop(self._session)
        if self._asking is not None:
            self._asking.cancel()
        self._session, self._left = session, self._most_probes
        own = asyncio.current_task()
        for other in self._beginners:
            if other is not own:
                other.cancel()

    def _drop(self, session: Session) -> None:
        _close(session)
        if session is self._session:
            self._session = None


def _close(session: Session) -> None:
    with suppress(OSError, RuntimeError):
        session[1].transport.abort()


class OutageWatch:
    """Probes from `start` to `finish`; `successes` of each protocol are times of CLOCK_MONOTONIC."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._outside: Outside | None = None
        self.successes: dict[str, list[float]] = {"smtp": [], "imap": []}

    def start(self) -> OutageWatch:
        """Begin; returns when both protocols have answered once."""
        self._outside = Outside("tests.load.outage", [json.dumps(asdict(self._target))], self._note)
        self.wait_served(0.0)
        return self

    def wait_served(self, since: float, *, timeout: float = 60.0) -> None:
        """Wait until both protocols have answered after a moment."""
        wait_until(
            "SMTP and IMAP answer",
            lambda: all(times and times[-1] > since for times in self.successes.values()),
            timeout=timeout,
            every=0.02,
            explain=lambda: f"last successes: { ({name: times[-1:] for name, times in self.successes.items()}) }",
        )

    def finish(self) -> None:
        """End the probes."""
        if self._outside:
            self._outside.finish()

    def outage(self, protocol: str, since: float) -> float:
        """Seconds: the longest time without a success that ends after `since` (CLOCK_MONOTONIC)."""
        times = self.successes[protocol]
        gaps = [later - earlier for earlier, later in pairwise(times) if later > since]
        return max(gaps, default=0.0)

    def _note(self, line: str) -> None:
        protocol, at = line.split()
        self.successes[protocol].append(float(at))


async def _probe_all(target: Target) -> None:
    def told(protocol: str) -> Callable[[float], None]:
        return lambda at: print(protocol, at, flush=True)

    probers = [
        Prober(target, _smtp_begin, _smtp_probe, told("smtp"), _SMTP_PROBES),
        Prober(target, _imap_begin, _imap_probe, told("imap")),
    ]
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    running = [asyncio.create_task(prober.run()) for prober in probers]
    done, _ = await asyncio.wait([*running, asyncio.ensure_future(ended)], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()  # a prober never ends by itself
    for task in running:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(_probe_all(Target(**json.loads(sys.argv[1]))))
