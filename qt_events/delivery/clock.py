"""Clock: time for retries, real time on an event loop or a test's own."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


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
    """Monotonic time of the running event loop."""

    def time(self) -> float:
        """See Clock."""
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """See Clock."""
        return asyncio.get_running_loop().call_later(delay, callback)
