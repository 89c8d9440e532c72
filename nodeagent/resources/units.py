"""systemd units over D-Bus: state, start, stop, restart, reload.

Implements the part of org.freedesktop.systemd1(5) that the agent needs. Every
call has a deadline; a lost bus is reported as UnitsUnavailable and reconnected
on the next call.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError, Unavailable

_BUS = "org.freedesktop.systemd1"
_ROOT = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_UNIT = "org.freedesktop.systemd1.Unit"
_SERVICE = "org.freedesktop.systemd1.Service"
_CALL_DEADLINE = Seconds(5.0)
#: How often a unit is looked at that something else than a job of ours moves (systemd's own restart).
_POLL = Seconds(0.05)
#: A job's end may be told before the answer that names it; so many ends are remembered.
_ENDS_KEPT = 256
_JOB_ENDS = f"type='signal',sender='{_BUS}',path='{_ROOT}',interface='{_MANAGER}',member='JobRemoved'"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_CHANGES = (
    f"type='signal',sender='{_BUS}',path_namespace='{_ROOT}/unit',interface='{_PROPERTIES}',member='PropertiesChanged'"
)
_OURS = f"{_ROOT}/unit/posthouse_2d"
#: So long a running unit of which systemd told no change is taken to be as it was.
_TRUSTED = Seconds(30.0)


class UnitsUnavailable(Unavailable):
    """systemd does not answer on the bus."""


class UnitCallRefused(PosthouseError):
    """systemd answered a call with an error."""

    def __init__(self, unit: str, detail: str) -> None:
        super().__init__("unit-call-refused", unit=unit, detail=detail)


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it. `started` is CLOCK_MONOTONIC seconds of the last start, 0 when never."""

    active: str
    sub: str
    main_pid: int = 0
    restarts: int = 0
    started: float = 0.0
    result: str = "success"
    #: Exit code, or number of the signal, of the main process when it has ended.
    exit_status: int = 0
    #: Whether systemd has yet to start or stop it: on a busy machine a job waits although it was asked for.
    has_job: bool = False

    @property
    def is_running(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def is_settling(self) -> bool:
        """On its way up or down, or waiting for systemd's own restart: leave it alone."""
        return self.active in ("activating", "deactivating")

    @property
    def has_failed(self) -> bool:
        return self.active == "failed"


@dataclass(frozen=True)
class _Known:
    """A running unit's state: how often systemd had told of changes before it was asked, and until when it holds."""

    state: UnitState
    changes: int
    until: float


def _to_bus(member: str, argument: str) -> Message:
    name = "org.freedesktop.DBus"
    return Message(
        destination=name, path="/org/freedesktop/DBus", interface=name, member=member, signature="s", body=[argument]
    )


def unit_path(unit: str) -> str:
    """The unit's object path: bytes other than [A-Za-z0-9] become _XX (sd_bus_path_encode(3))."""
    encoded = "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in unit)
    return f"{_ROOT}/unit/{encoded}"


class Units:
    """One connection to systemd's manager."""

    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()
        self._running: dict[str, _Known] = {}
        self._changes: Counter[str] = Counter()
        self._jobs: dict[str, str] = {}
        self._ended_jobs: deque[str] = deque(maxlen=_ENDS_KEPT)
        self._job_ended = asyncio.Event()

    async def state(self, unit: str) -> UnitState:
        """Return the unit's state; a unit that was never loaded is inactive.

        systemd tells of changes, so a running unit is asked about only after one, and now and then.
        """
        if self._bus is None or not self._bus.connected:
            self._running.clear()  # what changed since was told to nobody
        path = unit_path(unit)
        changes, now = self._changes[path], time.monotonic()
        known = self._running.get(unit)
        if known is not None and known.changes == changes and now < known.until:
            return known.state
        (path,) = await self._call(unit, _ROOT, _MANAGER, "LoadUnit", "s", unit)
        state = await self._all(unit, path)
        if state.active == "active":
            self._running[unit] = _Known(state, changes, now + _TRUSTED)  # a change meanwhile counts as one after
        else:
            self._running.pop(unit, None)
        return state

    async def _all(self, unit: str, path: str) -> UnitState:
        about = await self._properties(unit, path, _UNIT)
        service = await self._properties(unit, path, _SERVICE)
        return UnitState(
            active=about["ActiveState"],
            sub=about["SubState"],
            main_pid=service["MainPID"],
            restarts=service["NRestarts"],
            started=about["ActiveEnterTimestampMonotonic"] / 1e6,
            result=service["Result"],
            exit_status=service["ExecMainStatus"],
            has_job=about["Job"][0] != 0,
        )

    async def start(self, unit: str) -> None:
        """Ask for a start, after forgetting earlier failures (a start limit must not outlive its reason)."""
        await self._call(unit, _ROOT, _MANAGER, "ResetFailedUnit", "s", unit, tolerate="NoSuchUnit")
        await self._job(unit, "StartUnit")

    async def stop(self, unit: str) -> None:
        await self._job(unit, "StopUnit", tolerate="NoSuchUnit")

    async def kill(self, unit: str) -> None:
        """SIGKILL every process of a unit that is stopping, and forget that it did not end by itself."""
        await self._call(unit, _ROOT, _MANAGER, "KillUnit", "ssi", unit, "all", signal.SIGKILL.value)
        await self.settled(unit, _CALL_DEADLINE)
        await self._call(unit, _ROOT, _MANAGER, "ResetFailedUnit", "s", unit, tolerate="NoSuchUnit")

    async def forget(self, unit: str) -> None:
        """Forget that a unit has failed; one that was made at run time is gone with that."""
        await self._call(unit, _ROOT, _MANAGER, "ResetFailedUnit", "s", unit, tolerate="NoSuchUnit")

    async def restart(self, unit: str) -> None:
        await self._call(unit, _ROOT, _MANAGER, "ResetFailedUnit", "s", unit, tolerate="NoSuchUnit")
        await self._job(unit, "RestartUnit")

    async def reload(self, unit: str) -> None:
        await self._job(unit, "ReloadOrRestartUnit")

    async def settled(self, unit: str, deadline: Seconds) -> UnitState:
        """Wait until the unit is neither starting nor stopping, and no job that was asked for here is under way;
        return its state then, or at the deadline."""
        try:
            async with asyncio.timeout(deadline):
                while True:
                    job_ended = self._job_ended
                    if unit not in self._jobs and not (state := await self.state(unit)).is_settling:
                        return state
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_POLL):
                            await job_ended.wait()
        except TimeoutError:
            return await self.state(unit)

    async def close(self) -> None:
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None
        self._jobs.clear()  # nobody will tell of their ends, nor of changes
        self._running.clear()

    async def _job(self, unit: str, member: str, tolerate: str = "") -> None:
        """Queue a job of systemd's; `settled` waits for its end."""
        for job in await self._call(unit, _ROOT, _MANAGER, member, "ss", unit, "replace", tolerate=tolerate):
            if job not in self._ended_jobs:
                self._jobs[unit] = job

    def _heard(self, message: Message) -> None:
        """JobRemoved (org.freedesktop.systemd1(5)): systemd tells whoever queued the job of its end.
        PropertiesChanged: something about a unit is new."""
        if message.message_type is not MessageType.SIGNAL:
            return
        path = message.path or ""
        if message.member == "PropertiesChanged" and path.startswith(_OURS):
            self._changes[path] += 1
        elif message.member == "JobRemoved":
            _, job, unit, _ = message.body
            self._ended_jobs.append(job)
            if self._jobs.get(unit) == job:
                del self._jobs[unit]
            self._job_ended.set()  # whoever waits wakes
            self._job_ended = asyncio.Event()

    async def _properties(self, unit: str, path: str, interface: str) -> dict[str, Any]:
        (found,) = await self._call(unit, path, _PROPERTIES, "GetAll", "s", interface)
        return {name: variant.value for name, variant in found.items()}

    async def _call(
        self, unit: str, path: str, interface: str, member: str, signature: str, *body: str | int, tolerate: str = ""
    ) -> list[Any]:
        message = Message(
            destination=_BUS, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        try:
            async with asyncio.timeout(_CALL_DEADLINE):
                bus = await self._connected()
                reply = await bus.call(message)
        except (OSError, EOFError, TimeoutError) as error:
            await self.close()
            raise UnitsUnavailable("systemd-unavailable", detail=str(error) or type(error).__name__) from error
        if reply is None or reply.message_type is MessageType.ERROR:
            name = (reply.error_name or "") if reply else "no reply"
            if tolerate and name.endswith(tolerate):
                return []
            raise UnitCallRefused(unit, f"{name}: {reply.body[0] if reply and reply.body else ''}")
        return list(reply.body)

    async def _connected(self) -> MessageBus:
        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
                bus.add_message_handler(self._heard)
                for rule in (_JOB_ENDS, _CHANGES):
                    await bus.call(_to_bus("AddMatch", rule))
                # without a subscriber systemd tells nobody of changes
                await bus.call(Message(destination=_BUS, path=_ROOT, interface=_MANAGER, member="Subscribe"))
                self._bus = bus
            return self._bus
