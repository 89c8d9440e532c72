"""A controller in a process of its own, so that a test can kill and stop it: NODE ENDPOINT PKI FOLDER-OF-FENCES."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path

from appliance.cluster.names import NodeName
from appliance.coordination.access import Keys
from appliance.coordination.etcd import EtcdStore
from controller.controller import Controller
from controller.fencing.desk import FenceDesk


def main(node: str, endpoint: str, pki: str, fences: str) -> None:
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {node} %(levelname)s %(message)s")
    ended, bell = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        ended.set()
        bell.set()

    signal.signal(signal.SIGTERM, end)
    desk = FenceDesk(bell.set, Path(pki) / "sealing.key", (fences,))
    with EtcdStore([endpoint], Keys.read(Path(pki))) as store:
        Controller(NodeName(node), store, desk, bell).run(ended, lambda: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
