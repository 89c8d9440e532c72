"""What the agent tells the store: the newest of each key, when the store answers; and its connection."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

from appliance.coordination.store import Store, StoreUnavailable
from nodeagent.agent.shared_store import SharedStore
from nodeagent.agent.store_writer import StoreWriter


class Flaky:
    """A store that is away until `back` is set."""

    def __init__(self) -> None:
        self.back = threading.Event()
        self.refused = threading.Event()
        self.kept: dict[str, str] = {}
        self.closed = False

    def put(self, key: str, value: str, *, deadline: float) -> None:
        self._answer(deadline)
        self.kept[key] = value

    def delete(self, key: str, *, deadline: float) -> None:
        self._answer(deadline)
        self.kept.pop(key, None)

    def close(self) -> None:
        self.closed = True

    def _answer(self, deadline: float) -> None:
        assert deadline > 0
        if not self.back.is_set():
            self.refused.set()
            raise StoreUnavailable("store-closed")


def test_the_newest_of_each_key_is_written_when_the_store_is_back() -> None:
    store = Flaky()
    store.kept["gone"] = "old"
    writer = StoreWriter(lambda: cast("Store", store))
    writer.start()
    writer.write("status", "1")
    assert store.refused.wait(10)
    writer.write("status", "2")
    writer.write("gone", None)
    store.back.set()
    writer.end()
    assert not writer.is_alive()
    assert store.kept == {"status": "2"}


def test_a_store_that_is_away_does_not_hold_up_the_end() -> None:
    store = Flaky()
    writer = StoreWriter(lambda: cast("Store", store))
    writer.start()
    writer.write("status", "1")
    assert store.refused.wait(10)
    writer.end()
    assert not writer.is_alive()


def test_a_renewed_certificate_means_a_new_connection(tmp_path: Path) -> None:
    certificate = tmp_path / "node.crt"
    certificate.write_text("old")
    made: list[Flaky] = []

    def connect() -> Store:
        made.append(Flaky())
        return cast("Store", made[-1])

    shared = SharedStore(connect, certificate)
    assert shared.open() is shared.open()
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").replace(certificate)
    assert cast("Flaky", shared.open()) is made[1]
    assert made[0].closed
    certificate.unlink()  # being replaced just now
    assert cast("Flaky", shared.open()) is made[1]
