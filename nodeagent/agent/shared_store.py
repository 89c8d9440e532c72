"""The agent's one connection to the store, for all its threads; opened anew when the node's certificate was renewed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from appliance import paths
from appliance.coordination.store import Store

_Stamp = tuple[int, int]


class SharedStore:
    """`connect` opens a connection; `certificate` tells by its change that the old one's keys will expire."""

    def __init__(self, connect: Callable[[], Store], certificate: Path | None = None) -> None:
        self._connect = connect
        self._certificate = certificate or paths.PKI / "node.crt"
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._stamp: _Stamp | None = None

    def open(self) -> Store:
        """The connection; raises StoreUnavailable. Whoever still waits on one that was replaced gets that error too."""
        with self._lock:
            stamp = self._read_stamp()
            if self._store is not None and stamp == self._stamp:
                return self._store
            old, self._store = self._store, None
            if old is not None:
                old.close()
            self._store, self._stamp = self._connect(), stamp
            return self._store

    def _read_stamp(self) -> _Stamp | None:
        try:
            about = self._certificate.stat()
        except OSError:
            return self._stamp
        return about.st_ino, about.st_mtime_ns
