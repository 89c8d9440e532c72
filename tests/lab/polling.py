"""Waiting for something to become true, with a deadline: the only place in the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    what: str,
    condition: Callable[[], T],
    *,
    timeout: float = 30.0,
    every: float = 0.1,
    ignore: type[Exception] | tuple[type[Exception], ...] = (),
    explain: Callable[[], str] | None = None,
) -> T:
    """Return the first truthy result of `condition`, asked every `every` seconds.

    Exceptions named in `ignore` count as "not yet". After `timeout` seconds raises
    TimeoutError naming `what`, the last result or exception, and what `explain` adds.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            last = result = condition()
            if result:
                return result
        except ignore as error:
            last = error
        if time.monotonic() >= deadline:
            extra = f"\n{explain()}" if explain else ""
            raise TimeoutError(f"{what}: not within {timeout:g} s (last: {last!r}){extra}")
        time.sleep(every)
