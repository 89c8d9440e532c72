"""systemd units over D-Bus: state, start, stop, restart, reload.

Implements the part of org.freedesktop.systemd1(5) that the agent needs. Every
call has a deadline; a lost bus is reported as UnitsUnavailable and reconnected
on the next call.
"""

from __future__ import annotations

import asyncio
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
_POLL = Seconds(0.05)


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


def unit_path(unit: str) -> str:
    """The unit's object path: bytes other than [A-Za-z0-9] become _XX (sd_bus_path_encode(3))."""
    encoded = "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in unit)
    return f"{_ROOT}/unit/{encoded}"


class Units:
    """One connection to systemd's manager."""

    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()
        self._running: dict[str, UnitState] = {}

    async def state(self, unit: str) -> UnitState:
        """Return the unit's state; a unit that was never loaded is inactive.

        A running unit that was not started anew since the last look has nothing new to tell, so two small
        properties are read and not the several hundred that systemd would list: at rest this is most of the
        agent's work.
        """
        path = unit_path(unit)
        known = self._running.get(unit)
        if known is not None:
            active = await self._property(unit, path, "ActiveState")
            entered = await self._property(unit, path, "ActiveEnterTimestampMonotonic")
            if active == known.active and entered / 1e6 == known.started:
                return known
        (path,) = await self._call(unit, _ROOT, _MANAGER, "LoadUnit", "s", unit)
        state = await self._all(unit, path)
        if state.active == "active":
            self._running[unit] = state
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
        )

    async def start(self, unit: str) -> None:
        """Ask for a start, after forgetting earlier failures (a start limit must not outlive its reason)."""
        await self._call(unit, _ROOT, _MANAGER, "ResetFailedUnit", "s", unit, tolerate="NoSuchUnit")
        await self._call(unit, _ROOT, _MANAGER, "StartUnit", "ss", unit, "replace")

    async def stop(self, unit: str) -> None:
        await self._call(unit, _ROOT, _MANAGER, "StopUnit", "ss", unit, "replace", tolerate="NoSuchUnit")

    async def restart(self, unit: str) -> None:
        await self._call(unit, _ROOT, _MANAGER, "ResetFailedUnit", "s", unit, tolerate="NoSuchUnit")
        await self._call(unit, _ROOT, _MANAGER, "RestartUnit", "ss", unit, "replace")

    async def reload(self, unit: str) -> None:
        await self._call(unit, _ROOT, _MANAGER, "ReloadOrRestartUnit", "ss", unit, "replace")

    async def settled(self, unit: str, deadline: Seconds) -> UnitState:
        """Wait until the unit is neither starting nor stopping; return its state then, or at the deadline."""
        try:
            async with asyncio.timeout(deadline):
                while True:
                    state = await self.state(unit)
                    if not state.is_settling:
                        return state
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            return await self.state(unit)

    async def close(self) -> None:
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def _property(self, unit: str, path: str, name: str) -> Any:
        (found,) = await self._call(unit, path, "org.freedesktop.DBus.Properties", "Get", "ss", _UNIT, name)
        return found.value

    async def _properties(self, unit: str, path: str, interface: str) -> dict[str, Any]:
        (found,) = await self._call(unit, path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface)
        return {name: variant.value for name, variant in found.items()}

    async def _call(
        self, unit: str, path: str, interface: str, member: str, signature: str, *body: str, tolerate: str = ""
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
                self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            return self._bus
