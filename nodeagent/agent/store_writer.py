"""Writes what the agent tells to the store, in a thread of its own: at once while the store answers, else later.

Of each key only the newest value is kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from appliance.cluster.names import Seconds
from appliance.coordination.store import Store, StoreUnavailable

log = logging.getLogger("posthouse.agent")

_RETRY = Seconds(0.5)
_DEADLINE = Seconds(2.0)
#: What is still to be told when the agent ends may take so long.
_FAREWELL = Seconds(1.0)


class StoreWriter(threading.Thread):
    """One thread; a store that is away is tried again."""

    def __init__(self, connect: Callable[[], Store]) -> None:
        super().__init__(name="store-writer", daemon=True)
        self._connect = connect
        self._news = threading.Condition()
        self._outbox: dict[str, str | None] = {}
        self._ended = False

    def write(self, key: str, value: str | None) -> None:
        """Queue `value` for `key`, None to delete it; safe from any thread, never blocks on the store."""
        with self._news:
            self._outbox[key] = value
            self._news.notify()

    def end(self) -> None:
        """Write what is left, if the store takes it within a second."""
        with self._news:
            self._ended = True
            self._news.notify()
        self.join(_FAREWELL)

    def run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._outbox or self._ended)
                outbox, self._outbox = self._outbox, {}
                ended = self._ended
            failed = not self._flush(outbox)
            if ended:
                return
            if failed:
                with self._news:
                    self._news.wait_for(lambda: self._ended, _RETRY)

    def _flush(self, outbox: dict[str, str | None]) -> bool:
        """Write all; what fails goes back unless there is something newer. Returns whether all went well."""
        while outbox:
            key, value = next(iter(outbox.items()))
            try:
                store = self._connect()
                if value is None:
                    store.delete(key, deadline=_DEADLINE)
                else:
                    store.put(key, value, deadline=_DEADLINE)
            except StoreUnavailable as error:
                log.debug("not written yet: %s", error)
                with self._news:
                    self._outbox = outbox | self._outbox
                return False
            except Exception:
                log.exception("%s could not be written", key)
            del outbox[key]
        return True
