"""The agent's bell: the keeper rings it after it changed a marker (docs/developers/cluster.md).

A datagram carries nothing; what is to be done stands in the markers. One that gets lost costs a tick.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from appliance import paths

log = logging.getLogger("posthouse.agent")

SOCKET = paths.RUN / "agent.wake"
_LONGEST = 64


class Bell:
    """The bound socket; `ring` is called in the event loop for each burst of datagrams."""

    def __init__(self, ring: Callable[[], None], path: Path = SOCKET) -> None:
        self._ring = ring
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def hang(self) -> None:
        """Bind beside the name and rename, so that it is never there with a wider mode; raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        staged = self._path.with_name(f".{self._path.name}.new")
        staged.unlink(missing_ok=True)
        self._socket.bind(str(staged))
        staged.chmod(0o600)
        staged.replace(self._path)
        asyncio.get_running_loop().add_reader(self._socket, self._heard)

    def take_down(self) -> None:
        """Listen no longer. The name stays: a successor replaces it, and until then a sender is refused at once."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _heard(self) -> None:
        try:
            while True:
                self._socket.recv(_LONGEST)
        except BlockingIOError:
            pass
        except OSError as error:
            log.warning("%s: %s", self._path, error)
        self._ring()
