"""Clock: when a retry is due. Real time on an event loop, or a test's own."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """It will not."""


class Clock(Protocol):
    """Tells the time and calls a function later, on the event loop that asks; in seconds, unmoved by the wall clock."""

    def time(self) -> float:
        """Now, from an arbitrary start."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call once, `delay` seconds from now, never earlier."""


class LoopClock:
    """The running event loop's monotonic time."""

    def time(self) -> float:
        """See Clock."""
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """See Clock."""
        return asyncio.get_running_loop().call_later(delay, callback)
