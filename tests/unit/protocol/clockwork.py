"""Simulated time: events in order, clocks that drift, and processes that can be stopped between two effects.

A process is a generator that yields effects. What it computes between two yields takes no time; an effect takes
the time that the world gives it. Pauses are put where they hurt: before or after an effect of a given name.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

Action = Callable[[], None]


class World:
    """True time, known to nobody in the model, and what happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.after_each: list[Action] = []
        self._events: list[tuple[float, int, Action]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Action) -> None:
        """Let `action` happen at a true time, not before now."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), action))

    def later(self, seconds: float, action: Action) -> None:
        """Let `action` happen after true seconds."""
        self.at(self.now + seconds, action)

    def advance(self, seconds: float) -> None:
        """Let true time pass; every promise is checked after each event."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, action = heapq.heappop(self._events)
            action()
            for check in self.after_each:
                check()
        self.now = end


@dataclass
class Clock:
    """A clock that no adjustment touches, and that runs too fast or too slow; and the wall clock beside it."""

    world: World
    rate: float = 1.0
    offset: float = 0.0
    jumped: float = 0.0

    def read(self) -> float:
        """CLOCK_BOOTTIME."""
        return self.offset + self.rate * self.world.now

    def wall(self) -> float:
        """CLOCK_REALTIME, which somebody may have set."""
        return self.read() + self.jumped

    def lasts(self, seconds: float) -> float:
        """True seconds while this clock counts `seconds`."""
        return seconds / self.rate


@dataclass(frozen=True)
class Sleep:
    """Wait by the process's own clock."""

    seconds: float


@dataclass(frozen=True)
class Do:
    """Do something at once. `name` is where a pause can be put."""

    name: str
    action: Callable[[], Any]


@dataclass(frozen=True)
class Call:
    """Ask over a link; the answer, or None after `patience` seconds of the process's own clock."""

    name: str
    question: Callable[[], Any]
    patience: float


Effect = Sleep | Do | Call
Body = Generator[Effect, Any, None]
#: Sends a question: (question, what to do with the answer when it comes, if it comes).
Send = Callable[[Callable[[], Any], Callable[[Any], None]], None]


@dataclass
class Gap:
    """A pause before an effect, and another one right after it; `happens` is what else comes just before."""

    before: float
    after: float = 0.0
    happens: Action | None = None


@dataclass
class _Waiting:
    """A call that has not ended yet."""

    answer: Any = None
    answered: bool = False
    over: bool = False


@dataclass
class Process:
    """Runs a body. `paused_until` is true time; `undisturbed_since` is when it was last stopped or started."""

    world: World
    clock: Clock
    send: Send
    body: Body
    paused_until: float = 0.0
    undisturbed_since: float = 0.0
    dead: bool = False
    gaps: dict[str, Gap] = field(default_factory=dict)

    def start(self) -> Process:
        """Begin at once."""
        self.undisturbed_since = self.world.now
        self.world.later(0, lambda: self._go_on(None))
        return self

    def kill(self) -> None:
        """SIGKILL: no further effect. What is on its way over the network goes on."""
        self.dead = True

    def pause(self, seconds: float) -> None:
        """SIGSTOP, or a scheduler that has no time for it."""
        self.paused_until = max(self.paused_until, self.world.now + seconds)
        self.undisturbed_since = self.paused_until

    @property
    def paused(self) -> bool:
        """Whether it is stopped now."""
        return self.world.now < self.paused_until

    def _when_awake(self, action: Action) -> None:
        if self.dead:
            return
        if self.paused:
            self.world.at(self.paused_until, lambda: self._when_awake(action))
        else:
            action()

    def _go_on(self, value: Any) -> None:
        self._when_awake(lambda: self._step(value))

    def _step(self, value: Any) -> None:
        try:
            effect = self.body.send(value)
        except StopIteration:
            self.dead = True
            return
        if isinstance(effect, Sleep):
            self.world.later(self.clock.lasts(effect.seconds), lambda: self._go_on(None))
            return
        gap = self.gaps.pop(effect.name, None)
        if gap is not None:
            self.pause(gap.before)
            if gap.happens is not None:
                gap.happens()
        self._when_awake(lambda: self._perform(effect, gap))

    def _perform(self, effect: Do | Call, gap: Gap | None) -> None:
        if isinstance(effect, Do):
            value = effect.action()
            if gap is not None:
                self.pause(gap.after)
            self._go_on(value)
        else:
            self._ask(effect)
            if gap is not None:
                self.pause(gap.after)

    def _ask(self, call: Call) -> None:
        waiting = _Waiting()

        def arrived(answer: Any) -> None:
            waiting.answer, waiting.answered = answer, True
            self._when_awake(end)

        def end() -> None:
            if not waiting.over:  # an answer that came while it slept counts, however late
                waiting.over = True
                self._step(waiting.answer)

        self.send(call.question, arrived)
        self.world.later(self.clock.lasts(call.patience), lambda: self._when_awake(end))
