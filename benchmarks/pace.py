"""Drive publishers in the same way for every contender, and compute the figures."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles
from typing import Any

from benchmarks.opcodes import counting

# Seconds that the last events may take to arrive.
_LATE = 20.0


def warm_up(count: int) -> int:
    """Return the number of publishes before `count` measured ones: the same share for everybody."""
    return max(10, count // 10)


def spent(began: float, cpu: float, count: int) -> dict[str, float]:
    """Return events a second by the clock, and CPU microseconds of this process for each event."""
    return {
        "rate": count / (time.monotonic() - began),
        "cpu_us": (time.process_time() - cpu) / count * 1e6,
    }


async def windowed(
    publish: Callable[[int], Awaitable[Any]], count: int, in_flight: int
) -> dict[str, float]:
    """Publish `count` times with `in_flight` publishes at a time."""
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            await publish(number)

    began, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
    return spent(began, cpu, count)


async def singly(publish: Callable[[int], Awaitable[Any]], count: int) -> dict[str, float]:
    """Publish `count` times, one at a time; return milliseconds for each."""
    lags = []
    for number in range(count):
        began = time.perf_counter()
        await publish(number)
        lags.append(time.perf_counter() - began)
    return percentiles(lags)


async def counted(publish: Callable[[int], Awaitable[Any]], count: int) -> dict[str, float]:
    """Publish `count` times, one at a time; return bytecodes for each.

    Threads that the first publish starts are counted too.
    """
    with counting() as opcodes:
        for number in range(warm_up(count)):
            await publish(number)
        before = opcodes.read()
        for number in range(count):
            await publish(number)
        return {"opcodes": (opcodes.read() - before) / count}


async def steadily(
    publish: Callable[[int], Awaitable[Any]], count: int, rate: int
) -> dict[str, float]:
    """Publish `count` times at `rate` a second, one at a time.

    Returns CPU microseconds of this process for each publish.
    """
    began, cpu = time.monotonic(), time.process_time()
    for number in range(count):
        await asyncio.sleep(began + number / rate - time.monotonic())
        await publish(number)
    return {"cpu_us": (time.process_time() - cpu) / count * 1e6}


async def in_bursts(
    publish: Callable[[int], Awaitable[Any]], count: int, at_once: int, rate: int
) -> dict[str, float]:
    """Publish `count` times at `rate` a second, `at_once` together, so that nobody is behind.

    Returns CPU microseconds of this process for each publish.
    """
    began, cpu = time.monotonic(), time.process_time()
    for number in range(0, count, at_once):
        await asyncio.sleep(began + number / rate - time.monotonic())
        await asyncio.gather(*map(publish, range(number, min(number + at_once, count))))
    return {"cpu_us": (time.process_time() - cpu) / count * 1e6}


def percentiles(lags: list[float]) -> dict[str, float]:
    """Return p50 and p99 in milliseconds; `lags` are seconds."""
    hundredths = quantiles(lags, n=100)
    return {"p50_ms": hundredths[49] * 1000, "p99_ms": hundredths[98] * 1000}


class Pace:
    """Publisher at a steady rate that does not wait for answers.

    A lag is the time from when an event was due until its handler has it.
    """

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate, self._count = rate, int(rate * seconds)
        self._began = 0.0
        self._lags: list[float] = []
        # The first half second is a warm-up and does not count.
        self._warm = int(rate / 2)

    def arrived(self, number: int) -> None:
        """Note that the handler has the event of this number."""
        self._lags.append(time.monotonic() - self._began - number / self._rate)

    async def run(self, publish: Callable[[int], Awaitable[Any]]) -> dict[str, float]:
        """Publish everything and return milliseconds from due to handled.

        Returns 20 s if an event is still missing 20 s after the last one was due.
        """
        self._began = time.monotonic()
        publishing: set[asyncio.Task[Any]] = set()
        for number in range(self._count):
            early = self._began + number / self._rate - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            elif not number % 20:
                # Behind schedule: let the other tasks of the loop run all the same.
                await asyncio.sleep(0)
            task = asyncio.ensure_future(publish(number))
            publishing.add(task)
            task.add_done_callback(publishing.discard)
        deadline = time.monotonic() + _LATE
        while len(self._lags) < self._count:
            if time.monotonic() > deadline:
                return {"p50_ms": _LATE * 1000, "p99_ms": _LATE * 1000}
            await asyncio.sleep(0.01)
        return percentiles(self._lags[self._warm :])
