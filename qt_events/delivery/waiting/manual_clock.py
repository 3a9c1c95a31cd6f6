"""ManualClock: time that passes when a test, or a rerun, says so."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

# Turns of the loop after each callback, for what follows from it
_TURNS = 20


class ManualTimer:
    """Callback of a ManualClock."""

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self._callback: Callable[[], None] | None = callback

    @property
    def waits(self) -> bool:
        """True until the callback was run or cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        self._callback = None

    def run(self) -> None:
        """Call the callback, once."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class ManualClock:
    """Clock (`delivery.waiting.clock`) that stands still until `advance`. Not thread-safe."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._number = count()

    def time(self) -> float:
        """Return the seconds that have passed; 0 at first."""
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(self._now + delay, callback)
        heapq.heappush(self._timers, (timer.due, next(self._number), timer))
        return timer

    @property
    def due(self) -> list[float]:
        """Times at which waiting callbacks are due, soonest first."""
        return sorted(timer.due for _, _, timer in self._timers if timer.waits)

    @property
    def soonest(self) -> float | None:
        """Time at which the next waiting callback is due; None if none waits."""
        while self._timers and not self._timers[0][2].waits:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass: run what falls due, in order, each at its own time.

        The event loop gets some turns at the start and after each callback, so that a handler that
        fails at once is due again within the same `advance`. Work that takes longer (a handler that
        waits, a thread) sees the time at the end: advance in steps, and wait for the work in
        between.
        """
        await self._run_until(self._now + seconds)

    async def advance_to_next(self) -> None:
        """Let the time pass until the soonest callback runs; do nothing if none waits."""
        if (soonest := self.soonest) is not None:
            await self._run_until(soonest)

    async def _run_until(self, end: float) -> None:
        await _let_the_loop_run()
        while self._timers and self._timers[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._timers)
            timer.run()
            await _let_the_loop_run()
        self._now = end


async def _let_the_loop_run() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
