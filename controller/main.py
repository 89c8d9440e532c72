"""Entry point of `posthouse-controller`: a service without privileges, on every control node."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from appliance import node_file, paths
from appliance.clock import boottime
from appliance.cluster.names import Seconds
from appliance.coordination import connect
from appliance.errors import BadInput, NotFound, PosthouseError
from appliance.node_file import NodeFile
from appliance.service_manager import notify
from controller.controller import Controller
from controller.fencing.desk import FenceDesk

if TYPE_CHECKING:
    from controller.metrics import Metrics

log = logging.getLogger("posthouse.controller")

_PET_EVERY = Seconds(5.0)

#: systemd hands the keys over, which this user could not read in their own place (systemd.exec(5), LoadCredential=).
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_CERTIFICATE = "node.crt"


def keys_folder() -> Path:
    """Where the node's keys are for this process."""
    given = os.environ.get(_CREDENTIALS)
    return Path(given) if given else paths.PKI


def identity() -> NodeFile:
    """Return what node.yaml says; end with EX_CONFIG (sysexits.h) when it cannot be used, which systemd respects."""
    try:
        return node_file.read()
    except (BadInput, NotFound) as error:
        log.error("%s; mend it, then: systemctl restart posthouse-controller", error)
        sys.exit(os.EX_CONFIG)


def renewed(folder: Path) -> bool:
    """Whether the node's certificate was renewed since this process was given its own copy."""
    try:
        return (folder / _CERTIFICATE).read_bytes() != (paths.PKI / _CERTIFICATE).read_bytes()
    except OSError:
        return False


def main() -> None:
    """Run until SIGTERM, or until the certificate was renewed: systemd then starts it with the new one."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    ended, bell = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        ended.set()
        bell.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    node, folder = identity(), keys_folder()
    try:
        store = connect(node, pki=folder)
    except PosthouseError as error:
        log.error("%s", error)
        sys.exit(os.EX_UNAVAILABLE)
    desk = FenceDesk(bell.set, folder / "sealing.key")
    controller = Controller(node.name, store, desk, bell, node.hostname)
    watch = _Watch(controller, folder, end)
    notify("READY=1")
    with store:
        controller.run(ended, watch.alive)
    notify("STOPPING=1")


class _Watch:
    """What is done beside deciding: systemd's watchdog, figures, and a look whether the certificate was renewed."""

    _CERTIFICATE_EVERY = Seconds(3600.0)

    def __init__(self, controller: Controller, folder: Path, end: Callable[[], None]) -> None:
        self._controller = controller
        self._folder = folder
        self._end = end
        self._next_certificate = boottime() + self._CERTIFICATE_EVERY
        self._petted = float("-inf")
        self._metrics: Metrics | None = None

    def alive(self) -> None:
        """The loop has gone round once."""
        now = boottime()
        if now - self._petted >= _PET_EVERY:
            self._petted = now
            notify("WATCHDOG=1")
            self._serve_figures()
        if now >= self._next_certificate:
            self._next_certificate = now + self._CERTIFICATE_EVERY
            if renewed(self._folder):
                log.info("the certificate was renewed: ending, to be started with the new one")
                self._end()

    def _serve_figures(self) -> None:
        port = self._controller.metrics_port
        if port == (self._metrics.port if self._metrics is not None else 0):
            return
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        if port:
            from controller.metrics import serve  # noqa: PLC0415 - who does not ask for figures does not pay for them

            try:
                self._metrics = serve(self._controller, port)
            except OSError as error:
                log.error("no figures on port %d: %s", port, error)
