"""How publishers are driven, the same way for every contender, and what comes of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles
from typing import Any

from benchmarks.opcodes import counting

_LATE = 20.0  # seconds for the last events to arrive


def warm_up(count: int) -> int:
    """How many go before `count` that are measured: the same share for every contender."""
    return max(10, count // 10)


def spent(began: float, cpu: float, count: int) -> dict[str, float]:
    """Events a second by the clock, and CPU microseconds of this process for each."""
    return {
        "rate": count / (time.monotonic() - began),
        "cpu_us": (time.process_time() - cpu) / count * 1e6,
    }


async def windowed(
    publish: Callable[[int], Awaitable[Any]], count: int, in_flight: int
) -> dict[str, float]:
    """Publish `count` times with so many in flight."""
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            await publish(number)

    began, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
    return spent(began, cpu, count)


async def singly(publish: Callable[[int], Awaitable[Any]], count: int) -> dict[str, float]:
    """Publish `count` times, one at a time; milliseconds for each."""
    lags = []
    for number in range(count):
        began = time.perf_counter()
        await publish(number)
        lags.append(time.perf_counter() - began)
    return percentiles(lags)


async def counted(publish: Callable[[int], Awaitable[Any]], count: int) -> dict[str, float]:
    """Publish `count` times, one at a time; bytecodes for each, of all threads that the first publish begins too."""
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
    """Publish `count` times, so many a second, one at a time; CPU microseconds of this process for each."""
    began, cpu = time.monotonic(), time.process_time()
    for number in range(count):
        await asyncio.sleep(began + number / rate - time.monotonic())
        await publish(number)
    return {"cpu_us": (time.process_time() - cpu) / count * 1e6}


def percentiles(lags: list[float]) -> dict[str, float]:
    """Of seconds, in milliseconds."""
    hundredths = quantiles(lags, n=100)
    return {"p50_ms": hundredths[49] * 1000, "p99_ms": hundredths[98] * 1000}


class Pace:
    """Publishes at a steady rate, whatever the answers do, and what each took from when it was due to its handler."""

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate, self._count = rate, int(rate * seconds)
        self._began = 0.0
        self._lags: list[float] = []
        self._warm = int(rate / 2)  # of the first half second nothing is told

    def arrived(self, number: int) -> None:
        """The handler has this one."""
        self._lags.append(time.monotonic() - self._began - number / self._rate)

    async def run(self, publish: Callable[[int], Awaitable[Any]]) -> dict[str, float]:
        """Milliseconds from due to handled; 20 s if not all had arrived so long after the last was due."""
        self._began = time.monotonic()
        publishing: set[asyncio.Task[Any]] = set()
        for number in range(self._count):
            early = self._began + number / self._rate - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            elif not number % 20:
                await asyncio.sleep(
                    0
                )  # behind time: the rest of the loop has its turns all the same
            task = asyncio.ensure_future(publish(number))
            publishing.add(task)
            task.add_done_callback(publishing.discard)
        deadline = time.monotonic() + _LATE
        while len(self._lags) < self._count:
            if time.monotonic() > deadline:
                return {"p50_ms": _LATE * 1000, "p99_ms": _LATE * 1000}
            await asyncio.sleep(0.01)
        return percentiles(self._lags[self._warm :])
