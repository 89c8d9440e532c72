"""Work that blocks, each piece in a thread of its own that nobody waits for at the end of the process.

asyncio's own pool has few threads and is joined at exit: a volume that hangs would take them
all, then the other groups' work, and at last the agent's restart.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a daemon thread and return what it returns, or raise what it raises.

    Cancelled, it waits for nothing: the thread goes on alone, and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[[T], None] | Callable[[BaseException], None], value: object) -> None:
        if not outcome.done():
            set_outcome(value)  # type: ignore[arg-type]  # each with its own kind of value

    def run() -> None:
        try:
            result = work(*args, **kwargs)
        except BaseException as error:
            answer: tuple[Callable[..., None], object] = (outcome.set_exception, error)
        else:
            answer = (outcome.set_result, result)
        with suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(settle, *answer)

    name = getattr(work, "__qualname__", "work")
    threading.Thread(target=run, name=f"off-loop {name}", daemon=True).start()
    return await outcome
