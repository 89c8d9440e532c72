"""Forwards ports of this machine's loopback to a node: `python -m tests.lab.forward NAMESPACE WANTED=HOST:PORT …`

Listens on the host's network, connects on the lab's: a socket keeps the namespace in
which it was made, so nothing of the host's network changes. Prints one line of JSON
with the ports it got (another one where the wanted is taken), then serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from tests.lab import network

_CHUNK = 65536
_CONNECT_WITHIN = 5.0


@dataclass(frozen=True)
class Forward:
    """One port: the wanted one on 127.0.0.1, and where it leads in the lab."""

    wanted: int
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Forward:
        """Read `WANTED=HOST:PORT`."""
        wanted, _, target = text.partition("=")
        host, _, port = target.rpartition(":")
        return cls(int(wanted), host, int(port))

    def __str__(self) -> str:
        return f"{self.wanted}={self.host}:{self.port}"


def listen(wanted: int) -> socket.socket:
    """A listener on 127.0.0.1 at the wanted port, or at a free one when that is taken."""
    for port in (wanted, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
            return listener
        listener.close()
    raise OSError("no free port on 127.0.0.1")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # the other end may go at any moment, also between data and end of file
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _serve(forward: Forward, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Join one client to the node; both ends close when the other does."""
    try:
        there_reader, there_writer = await asyncio.wait_for(
            asyncio.open_connection(forward.host, forward.port), _CONNECT_WITHIN
        )
    except (OSError, TimeoutError):
        writer.close()
        return
    try:
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
    finally:
        there_writer.close()
        writer.close()


async def _main(listeners: dict[socket.socket, Forward]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    servers = [await asyncio.start_server(partial(_serve, to), sock=sock) for sock, to in listeners.items()]
    print(json.dumps({to.port: sock.getsockname()[1] for sock, to in listeners.items()}), flush=True)
    await stop.wait()
    for server in servers:
        server.close()


def main() -> None:
    """Listen first, then move onto the lab's network for good."""
    namespace, *texts = sys.argv[1:]
    listeners = {listen(forward.wanted): forward for forward in map(Forward.parse, texts)}
    with network.entered(namespace):
        asyncio.run(_main(listeners))


if __name__ == "__main__":
    main()
