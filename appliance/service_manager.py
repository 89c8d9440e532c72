"""sd_notify(3): tell systemd that this process is ready, alive or ending."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Tell systemd, sd_notify(3); nothing when not started by it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
