"""The power switch of a lab's nodes: what the fence agent `fence_lab` inside them asks, and what may be wrong with it.

The switch listens on a unix socket in a folder that is bound into every node, so it is reached whatever happens to the
network: power is switched over another one. `python -m tests.lab.fence LAB` serves it for a lab of another process.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socketserver
import sys
import threading
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.host import LabError

if TYPE_CHECKING:
    from tests.lab.lab import Lab
    from tests.lab.node import Node

#: Where the folder is inside a node, and the switch's socket in it.
INSIDE = "/lab"
AGENT = "fence_lab"
_STATUS_ON, _FAILED, _STATUS_OFF = 0, 1, 2


class Mode(Enum):
    """How the switch behaves towards one plug."""

    WORKS = "works"
    #: Answers that it cannot.
    REFUSES = "refuses"
    #: Takes the order and never answers.
    HANGS = "hangs"
    #: Says that it has switched off, and has not; its status is true.
    LIES = "lies"
    #: Switches off, and says that it failed.
    UNSURE = "unsure"
    #: Says that it has switched off, and that the plug is off, and is wrong both times. Then nothing protects but the
    #: owner's own deadline.
    BLIND = "blind"


class FenceDevice:
    """The switch of one lab. `attach` nodes before they boot."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.folder = lab.folder / "power"
        self.password = _password(lab.folder / "power.password")
        self.modes: dict[str, Mode] = {}
        #: Orders in the sequence in which they came: (action, plug).
        self.orders: list[tuple[str, str]] = []
        self._ended = threading.Event()
        self._server: socketserver.ThreadingUnixStreamServer | None = None

    def attach(self, node: Node) -> None:
        """Give the node, which does not run yet, the agent and the way to the switch."""
        if node.running:
            raise LabError(f"{node.name} runs: its power switch is attached before it boots")
        self.folder.mkdir(parents=True, exist_ok=True)
        node.options = (*node.options, f"--bind={self.folder}:{INSIDE}")
        node.put_offline(f"usr/sbin/{AGENT}", Path(__file__).with_name(AGENT).read_text(), mode=0o755)

    def parameters(self, node: str) -> dict[str, str]:
        """What the agent has to be given for a node; `password` is the secret one."""
        return {"ip": f"{INSIDE}/fence", "plug": node, "password": self.password}

    def start(self) -> FenceDevice:
        """Serve in threads of this process."""
        device = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(ValueError, BrokenPipeError):
                    answer = device.answer(**json.loads(self.rfile.readline()))
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "fence").unlink(missing_ok=True)
        folder = os.open(self.folder, os.O_RDONLY)  # the path itself may be longer than a socket's can be
        try:
            self._server = Server(f"/proc/self/fd/{folder}/fence", Handler)
        finally:
            os.close(folder)
        (self.folder / "fence").chmod(0o666)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Serve no longer; orders that hang end."""
        self._ended.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, action: str, plug: str, password: str = "") -> dict[str, Any]:
        """Do what the agent asks and say how it went."""
        self.orders.append((action, plug))
        node = self.lab.nodes.get(plug)
        if password != self.password:
            return _said(_FAILED, "wrong password")
        if action == "monitor":
            return _said(0, "the switch answers")
        if node is None:
            return _said(_FAILED, f"no plug {plug}")
        return self._act(action, node, self.modes.get(plug, Mode.WORKS))

    def _act(self, action: str, node: Node, mode: Mode) -> dict[str, Any]:
        if mode is Mode.HANGS:
            self._ended.wait()
        if mode in (Mode.HANGS, Mode.REFUSES):
            return _said(_FAILED, "the switch refuses")
        if action == "status":
            on = node.running and mode is not Mode.BLIND
            return _said(_STATUS_ON, "Status: ON") if on else _said(_STATUS_OFF, "Status: OFF")
        if action in ("off", "reboot") and mode not in (Mode.LIES, Mode.BLIND):
            node.kill()
        if action in ("on", "reboot"):
            node.switch_on()
        return _said(_FAILED, "Timed out waiting to power OFF") if mode is Mode.UNSURE else _said(0, "Success")


def _password(file: Path) -> str:
    """The lab's, made by the first process that asks."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
        file.write_text(secrets.token_hex(8))
    return file.read_text()


def _said(status: int, text: str) -> dict[str, Any]:
    return {"status": status, "text": text}


def main() -> None:
    """Serve a lab that runs, until SIGTERM; prints a line when it does."""
    from tests.lab.lab import Lab  # noqa: PLC0415 # a lab is made of parts like this one

    device = FenceDevice(Lab.attach(sys.argv[1])).start()
    print("serving", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    device.stop()


if __name__ == "__main__":
    main()
