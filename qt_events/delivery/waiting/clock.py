"""Clock: time for retries, real or a test's own; RetryTimers: what waits for its time."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    """Handle of a call that is to come."""

    def cancel(self) -> None:
        """Call nothing."""


class Clock(Protocol):
    """Time in seconds, unmoved by the wall clock, and calls later on the event loop that asks."""

    def time(self) -> float:
        """Return the time, counted from an arbitrary start."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call the function once, `delay` seconds from now, never earlier."""


class LoopClock:
    """Clock of the running event loop."""

    def time(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)


@dataclass(eq=False, slots=True)
class _Waiting(Generic[T]):
    item: T
    #: By the clock.
    due: float
    #: Set while they run.
    timer: Timer | None = None


class RetryTimers(Generic[T]):
    """Items that wait for a retry: `on_due` gets each at its time, while the timers run.

    What falls due while they are stopped is due at the next start. For one thread.
    """

    def __init__(self, clock: Clock, on_due: Callable[[T], None]) -> None:
        self._clock, self._on_due = clock, on_due
        self._waiting: set[_Waiting[T]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: T, delay: float) -> None:
        """Have the item wait `delay` seconds. Only while the timers run."""
        waiting = _Waiting(item, self._clock.time() + delay)
        self._waiting.add(waiting)
        self._set_timer(waiting)

    def start(self) -> None:
        """Set a timer on the running loop for each item."""
        for waiting in tuple(self._waiting):
            self._set_timer(waiting)

    def stop(self) -> None:
        """Cancel the timers and keep the items."""
        for waiting in self._waiting:
            if waiting.timer is not None:
                waiting.timer.cancel()
                waiting.timer = None

    def _set_timer(self, waiting: _Waiting[T]) -> None:
        delay = max(0.0, waiting.due - self._clock.time())
        waiting.timer = self._clock.call_later(delay, partial(self._end, waiting))

    def _end(self, waiting: _Waiting[T]) -> None:
        self._waiting.remove(waiting)
        self._on_due(waiting.item)
