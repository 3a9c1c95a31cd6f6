"""LoopLag: pauses of an event loop, and the machine's share in them."""

import asyncio
import contextlib
import gc
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICK = 0.005  # seconds
# Seconds without a tick from which it is looked at what the loop does
LATE = 0.025
_LOOK = 0.005  # seconds between two looks
_THREADS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Lag:
    """One gap between two ticks, in seconds."""

    gap: float
    machine: float  #: of it, for want of a processor
    computed: float  #: of it, on a processor, in the loop's thread
    doing: str = ""  #: what the loop was in

    @property
    def own(self) -> float:
        """Seconds that an idle machine would not have spared."""
        return max(min(self.computed, self.gap), self.gap - self.machine)

    def __str__(self) -> str:
        return (
            f"{self.own * 1000:.0f} ms of our own (gap {self.gap * 1000:.0f}, "
            f"machine {self.machine * 1000:.0f}, computed {self.computed * 1000:.0f})\n{self.doing}"
        )


class LoopLag:
    """Ticks on the loop that enters it, and measures each gap.

    Linux tells how long each thread was ready to run and had no processor
    (/proc/self/task/*/schedstat). The wait of the loop's thread, and of the one that it may have
    waited for, is the machine's share. Blocking, computing and holding the interpreter's lock are
    our own.
    """

    def __init__(self) -> None:
        self.worst = Lag(0.0, 0.0, 0.0)  #: by what is our own
        self.longest = 0.0  #: gap, whoever's doing
        self.tries = 1  #: until it was smooth
        self._ticked, self._over = time.monotonic(), threading.Event()
        self._seen: dict[str, int] = {}

    @property
    def summary(self) -> str:
        """Figures of the worst gap."""
        own, all_in_all = self.worst.own * 1000, self.longest * 1000
        again = f", at try {self.tries}" if self.tries > 1 else ""
        return f"stalled {own:.0f} ms ({all_in_all:.0f} with the machine's share{again})"

    async def __aenter__(self) -> Self:
        gc.collect()
        # What a test run has piled up is not this loop's to look through
        gc.freeze()
        self._thread = threading.get_native_id()
        self._ident = threading.get_ident()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._task
        self._watcher.join()
        gc.unfreeze()

    async def _tick(self) -> None:
        waits, computed = self._waits(), time.thread_time()
        while not self._over.is_set():
            before, self._ticked = time.monotonic(), time.monotonic()
            await asyncio.sleep(TICK)
            gap = time.monotonic() - before - TICK
            now, used = self._waits(), time.thread_time()
            if gap > LATE:
                self._note(Lag(gap, self._delay(waits, now), used - computed, self._doing()))
            waits, computed = now, used

    def _note(self, lag: Lag) -> None:
        self.longest = max(self.longest, lag.gap)
        self.worst = max(self.worst, lag, key=lambda each: each.own)

    def _waits(self) -> dict[str, int]:
        """Return the nanoseconds that each thread has waited for a processor."""
        waits = {}
        for thread in _THREADS.iterdir():
            # It has ended
            with contextlib.suppress(OSError):
                waits[thread.name] = int((thread / "schedstat").read_text().split()[1])
        return waits

    def _delay(self, before: dict[str, int], now: dict[str, int]) -> float:
        delays = {thread: waited - before.get(thread, 0) for thread, waited in now.items()}
        own = delays.pop(str(self._thread), 0)
        return (own + max(delays.values(), default=0)) / 1e9

    def _doing(self) -> str:
        seen, self._seen = self._seen, {}
        return "\n".join(f"seen {times} times:\n{stack}" for stack, times in seen.items())

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            if time.monotonic() - self._ticked > LATE + TICK:
                frame = sys._current_frames().get(self._ident)  # noqa: SLF001  # the documented way to look at a thread
                stack = "".join(traceback.format_stack(frame)[-8:])
                self._seen[stack] = self._seen.get(stack, 0) + 1


async def smoothest(act: Callable[[], Awaitable[None]], smooth: float, tries: int = 3) -> LoopLag:
    """Return the pauses while something is done, again if one of them exceeds `smooth` seconds.

    What our own code does to the loop it does each time. A host that takes a processor away from
    its guests does not, and the guest counts that time as its own computing.
    """
    for number in range(1, tries + 1):
        async with LoopLag() as lag:
            await act()
        lag.tries = number
        if lag.worst.own < smooth:
            break
    return lag
