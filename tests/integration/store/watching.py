"""What the store's tests do again and again, always with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from appliance.cluster.names import Seconds
from appliance.coordination.store import Event, Store, StoreUnavailable, Watch

#: What a call may take beyond its deadline on a busy two-core machine.
SLACK = 1.0


def collect(watch: Watch, count: int, within: float = 20.0, until: int = 0) -> list[Event]:
    """Read `count` events, and on to revision `until`; fail when they are not there in time."""
    ends = time.monotonic() + within
    seen: list[Event] = []
    for batch in watch:
        seen += batch
        if len(seen) >= count and seen[-1].revision >= until:
            break
        assert time.monotonic() < ends, f"only {len(seen)} of {count} events came: {seen[-3:]}"
    return seen


def eventually(truth: Callable[[], bool], within: float = 10.0) -> None:
    ends = time.monotonic() + within
    pause = threading.Event()
    while not truth():
        assert time.monotonic() < ends
        pause.wait(0.02)


def assert_unavailable_within(call: Callable[[Seconds], Any], deadline: float) -> StoreUnavailable:
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        call(Seconds(deadline))
    assert time.monotonic() - started < deadline + SLACK
    return caught.value


def calls(store: Store, prefix: str) -> dict[str, Callable[[Seconds], Any]]:
    return {
        "get": lambda deadline: store.get(prefix, deadline=deadline),
        "list": lambda deadline: store.list(prefix, deadline=deadline),
        "put": lambda deadline: store.put(prefix + "x", "1", deadline=deadline),
        "create": lambda deadline: store.create(prefix + "y", "1", deadline=deadline),
        "delete": lambda deadline: store.delete(prefix + "x", deadline=deadline),
    }
